"""Maps whose items are another map's results, their source: what is done that each gets its item, once.

source: commit.lua ──spans, results──> feed.lua ──bodies, pending──> claims as of any map
        its end    ──error records──>  pass_on.lua ──error records

Nobody holds anything in between. What a script has read, what it makes of it and how far that is are of one
moment, so anybody may run it: who has just committed to the source, for then it is there at once, and who owns the
map that follows, once a second, for whoever else may have died. The producer of neither is needed.

While the source goes on, what has failed there may still be tried again, so only its results are taken. When it
has ended, what failed there fails here, and who owns the map says so if there is less than all. Once something has
failed by that, nothing more is taken, whatever becomes of the source. A retry of the map that follows begins anew
with that, and has what the source has by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.job import Job

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps.chunk import SOFT_BYTES
from taskq.maps.info import MapInfo, read_info, seal_codec
from taskq.maps.reader import MapReader
from taskq.maps.source import Source, proof_of
from taskq.maps.store import KINDS, MapStore
from taskq.payload import codec, signing
from taskq.payload.outcome import ItemFailure
from taskq.redis import keys
from taskq.redis.keys import UNSEALED, MapKeys
from taskq.redis.lua import Scripts
from taskq.views import error_groups

MORE, OVER = b"more", b"over"  # what feed.lua says

ITEMS = 256
"""Of a chunk whose size taskq picks, at most; and no more than were committed together. It is cut as all are, if
its items turn out to take long."""

_AT_ONCE = (4096, 2 << 20)
"""Results that one call of the script takes at most, and after how many bytes it ends: some milliseconds of the
server's."""

_RECORDS = 100  # error records that are read in one round trip: each may be large


def feed(scripts: Scripts, follower: MapKeys, source: Source, sealed: tuple[Any, ...] = ()) -> bytes:
    """Have a map get what its source has by now, a bounded part of it: what feed.lua says.

    Args:
        scripts: Of the server.
        follower: Keys of the map.
        source: Its source.
        sealed: If it is to be sealed: the source's number of items, the map's own then, the seal over that, and
            the proof of the source's number.
    """
    *told, proof = sealed or ("", "", "", "unsealed" if signing.keyring() else "")
    k, s, note = follower, source.keys, keys.note(keys.WORK, follower.id)
    names = [k.hash, k.bodies, k.pending, k.parts, s.hash, s.spans, s.results, Job.key_for(s.id)]
    args = [k.incarnation, str(source), s.incarnation, ITEMS, SOFT_BYTES, *_AT_ONCE, UNSEALED, *told]
    args += [k.events, keys.NOTES, note, PUBSUB_CHANNEL_TEMPLATE, proof]
    said: bytes = scripts.feed(names, args)
    return said


def step(store: MapStore, info: MapInfo) -> bytes:
    """As ``feed``; and seal the map, if that is to be done: when its source can't get any more items.

    Args:
        store: The map's.
        info: As it was read a moment ago.
    """
    source = info.terms.follows
    assert source is not None
    if info.sealed or (there := _source(store, source)) is None or not there.sealed:
        return feed(store.scripts, store.known, source)
    total = source.items(there.total)
    seal = seal_codec(store.keys.id).close(replace(info, total=total).announcement)
    proof = proof_of(store.known, there.total)
    return feed(store.scripts, store.known, source, (there.total, total, seal, proof))


def _source(store: MapStore, source: Source) -> MapInfo | None:
    try:
        return MapReader(source.id, store.connection, incarnation=source.incarnation).info()
    except (ResultsGoneError, ReplacedError):
        return None


def let_go(store: MapStore, source: Source) -> None:
    """Let a source's keys expire, if they were kept for this map. To be called as often as anybody likes.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    k, s = store.known, source.keys
    store.scripts.unfollow([keys.MAPS, *s.all], [s.incarnation, f"{k.id} {k.incarnation}", s.id])


@dataclass
class Follower:
    """Keeps one map up with its source, for who owns it.

    Args:
        store: The map's.
        reason: Why the map is to be closed: its source has ended, all that it had here, too, and that was not all.
        busy: There is more to do at once.
    """

    store: MapStore
    reason: str = ""
    busy: bool = False
    settled: bool = False  # some more items have an end by the last look
    _cursor: int = -1  # among the source's error records; -1: at their beginning
    _passed: bool = False  # all of them are here
    _sure: bool = False  # they were looked at once more, since the server may have lost what was said of them

    def look(self) -> None:
        """Do what there is to do, a bounded part of it.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached.
            ResultsGoneError, ReplacedError, DamagedError, SignatureError: Of the map; and of the source's hash and
                error records the latter two.
        """
        self.busy = self.settled = False
        info = self.store.info()
        if info.state != "open" or info.terms.follows is None:
            return
        if not info.over:
            self._begin()
        said = OVER if info.sealed and info.passed else step(self.store, info)
        if said == OVER:
            self._end(info.terms.follows)
        self.busy = self.busy or said == MORE

    def _begin(self) -> None:
        self._cursor, self._passed, self._sure = -1, False, False

    def _end(self, source: Source) -> None:
        """Nothing more is taken of the source."""
        if not self._passed:
            self._pass_on(source)
        if not self._passed:
            self.busy = True
            return
        reason = self._why_incomplete(source)
        if reason and not self._sure:
            self._begin()
            self.busy = self._sure = True
        else:
            self.reason = reason

    def _pass_on(self, source: Source) -> None:
        """Have items fail that have failed there: some of them, from where the last call has ended."""
        errors = MapKeys(source.id).errors
        cursor, found = self.store.connection.hscan(errors, max(0, self._cursor), count=_RECORDS)
        there = MapReader(source.id, self.store.connection, incarnation=source.incarnation)
        records = [one for one in there.failures_at([int(index) for index in found if index.isdigit()]) if one]
        if records and not self._say(source, records):
            cursor = 0  # one of the two is another one by now, or was opened again: nothing more comes of it
        self._cursor, self._passed = int(cursor), not int(cursor)
        if self._passed:
            let_go(self.store, source)

    def _say(self, source: Source, records: Iterable[ItemFailure]) -> bool:
        kinds: dict[str, list[tuple[int, ItemFailure]]] = {}
        for record in records:
            failure = ItemFailure.of_source(source.item(record.index), source.id, record)
            [kind] = error_groups.count([failure])
            kinds.setdefault(kind, []).append((record.index, failure))
        k, s = self.store.known, source.keys
        signer = codec.at("error record", k.id, k.incarnation)
        for kind, failures in kinds.items():
            flat = [part for there, one in failures for part in (there, one.index, signer.close(one.to_json()))]
            args = [k.incarnation, s.incarnation, kind, KINDS, k.events, *flat]
            names = [k.hash, k.errors, k.groups, s.hash, s.errors, Job.key_for(s.id)]
            said = self.store.scripts.pass_on(names, args)
            if said < 0:
                return False
            self.settled = self.settled or said > 0
        return True

    def _why_incomplete(self, source: Source) -> str:
        """Why there are not all items, once those that there are have ended; else ""."""
        k = self.store.keys
        with self.store.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            self.store.count_left(pipe)
            fields, *left = pipe.execute()
        info = read_info(fields)
        if any(left) or info.complete or info.missing or info.state != "open" or not info.over:
            return ""
        what = f"the map {source.id}, whose results are its items,"
        there = _source(self.store, source)
        if there is None:
            return f"{what} is gone: it was deleted, was replaced, or has expired, with {info.taken} of them taken"
        status = (self.store.connection.hget(Job.key_for(source.id), "status") or b"deleted").decode()
        ended = f"{what} has ended as {status} with {there.done} of {there.items_text} done"
        return f"{ended}: {there.reason}" if there.reason else ended
