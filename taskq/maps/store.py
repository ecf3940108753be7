"""All that is done to a map's keys in Redis: written by the producer, claimed, committed, closed.

One object per map and connection. Methods with a ``pipe`` argument run at once if it is None; else they queue
their command there, and its reply is read by the static method named beside it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.job import Job

from taskq.errors import DamagedError
from taskq.maps.chunk import Header, read_header
from taskq.maps.info import MapInfo, read_info
from taskq.maps.reader import MapReader
from taskq.payload import codec
from taskq.payload.codec import Codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Totals
from taskq.redis import keys
from taskq.redis.keys import MapField
from taskq.redis.lua import Scripts
from taskq.views import timeline
from taskq.views.timeline import TimelineNote

_END = "end"


@dataclass(frozen=True)
class Claim:
    """A chunk that a worker holds."""

    number: int
    deaths: int  # processes it has killed so far
    payload: bytes


@dataclass(frozen=True)
class ClaimReply:
    """What came of asking for chunks."""

    state: str
    pending: int  # chunks that are still pending
    claims: list[Claim]


class MapStore(MapReader):
    """The keys of one map.

    Args:
        job_id: The map's RQ job.
        connection: Anything redis-py compatible.
        scripts: Of the same connection; made when not given.
    """

    def __init__(self, job_id: str, connection: Any, scripts: Scripts | None = None) -> None:
        super().__init__(job_id, connection)
        self.scripts = scripts or Scripts(connection)
        self._writer = uuid.uuid4().hex  # of this producer, while it writes the map

    # -- producer ------------------------------------------------------------------------------------

    def begin(self, fields: Mapping[str, Any]) -> bool:
        """Reserve the id and write the hash; False if a map with this id exists."""
        flat = [part for pair in fields.items() for part in pair]
        return bool(self.scripts.begin([self.keys.hash], [keys.WRITING_TTL, self._writer, *flat]))

    def write(self, first: int, payloads: Iterable[bytes]) -> bool:
        """Add chunks, numbered from ``first``; they can't be claimed before ``announce``.

        False if the map is no longer ours: nothing was written for so long that it has expired.
        """
        k = self.keys
        args = [keys.WRITING_TTL, self._writer, first, *payloads]
        return bool(self.scripts.write([k.hash, k.chunks, k.pending], args))

    def writing(self, pipe: Any = None) -> bool | None:
        """Whether this producer may still write and announce it; None if it has announced it."""
        writer, state = (pipe or self.connection).hmget(self.keys.hash, MapField.WRITER, MapField.STATE)
        if writer is None or writer.decode() != self._writer:
            return False
        return True if state == b"writing" else None

    def abandon(self) -> None:
        """Remove what this producer has written, unless it was announced, and heard no reply to that."""
        self.scripts.abandon(list(self.keys.all), [self._writer])

    def announce(self, pipe: Any, total: int, chunks: int, ttl: int | None) -> None:
        """Open the map, in the transaction which makes its RQ job visible (I5)."""
        pipe.hset(self.keys.hash, mapping={MapField.TOTAL: total, MapField.CHUNKS: chunks, MapField.STATE: "open"})
        pipe.zadd(keys.MAPS, {self.keys.id: time.time()})
        for key in (self.keys.hash, self.keys.chunks, self.keys.pending):
            if ttl is None:
                pipe.persist(key)
            else:
                # RQ lets the job itself expire at ttl; an owner that just got it persists these.
                pipe.expire(key, ttl + keys.WRITING_TTL)

    # -- worker --------------------------------------------------------------------------------------

    def open(self, owner: str) -> MapInfo | None:
        """Become the owner; None if the map is gone. See open.lua."""
        k = self.keys
        reply = self.scripts.open(
            keys=[
                k.hash,
                k.chunks,
                k.pending,
                k.claims,
                k.errors,
                k.results,
                k.spans,
                keys.LEASES,
                Job.key_for(k.id),
            ],
            args=[owner, time.time()],
        )
        if not reply[0]:
            return None
        flat = reply[1]
        return read_info(dict(zip(flat[::2], flat[1::2], strict=True)))

    def claim(self, worker: str, count: int, pipe: Any = None) -> Any:
        """Claim up to ``count`` chunks; the reply is for ``read_claims``."""
        k = self.keys
        return self.scripts.claim([k.hash, k.pending, k.claims, k.chunks], [worker, count], pipe)

    @staticmethod
    def read_claims(reply: list[Any]) -> ClaimReply:
        state, pending, *flat = reply
        triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return ClaimReply(state.decode(), int(pending), [Claim(int(n), int(d), p) for n, d, p in triples])

    def commit(
        self, worker: str, claim: Claim, outcome: ChunkOutcome, note: TimelineNote, pipe: Any = None
    ) -> Any:
        """Store a chunk's outcome if the claim is still held; the reply is for ``read_commit``."""
        k = self.keys
        left = b""
        if outcome.failures:
            header = read_header(claim.payload)
            left = bytes(header.keeping(failure.index - header.start for failure in outcome.failures))
        entry = timeline.fields(self.keys.id, claim.number, claim.deaths, outcome, note)
        return self.scripts.commit(
            keys=[k.hash, k.chunks, k.claims, k.results, k.spans, k.errors, keys.TIMELINE, k.pending],
            args=[
                claim.number,
                f"{claim.deaths} {worker}",
                left,
                len(outcome.spans),
                len(outcome.failures),
                keys.TIMELINE_LENGTH,
                k.events,
                PUBSUB_CHANNEL_TEMPLATE,
                len(outcome.rest),
                claim.deaths,
                2 * len(entry),
                *(part for pair in entry.items() for part in pair),
                *(f"{start}:{count}" for start, count in outcome.spans),
                *self._records(outcome.failures),
                *outcome.rest,
                *outcome.values,
            ],
            pipe=pipe,
        )

    def note_death(self, claim: Claim, note: TimelineNote, began: float, pipe: Any) -> None:
        """Queue a timeline entry for a run of the chunk that ended in the death of its process."""
        lost = ChunkOutcome([], [], [], began, time.time() - began)
        fields = timeline.fields(self.keys.id, claim.number, claim.deaths, lost, note)
        pipe.xadd(keys.TIMELINE, fields, maxlen=keys.TIMELINE_LENGTH, approximate=True)

    def _records(self, failures: list[ItemFailure]) -> Iterator[Any]:
        if failures:
            signer = self._error_codec
            for failure in failures:
                yield from (failure.index, signer.close(failure.to_json()))

    @staticmethod
    def read_commit(reply: list[int]) -> Totals:
        return Totals(bool(reply[0]), *reply[1:])

    def release(self, worker: str, deaths: Mapping[int, int] | None = None, pipe: Any = None) -> Any:
        """Give chunks back: those in ``deaths`` (number -> deaths to note), or all that the worker holds.

        The reply is their number.
        """
        flat = [part for pair in (deaths or {}).items() for part in pair]
        k = self.keys
        return self.scripts.release([k.hash, k.pending, k.claims], [worker, *flat], pipe)

    def split(
        self, worker: str, claim: Claim, halves: tuple[Header, Header], deaths: int, pipe: Any = None
    ) -> Any:
        """Replace a claimed chunk by two pending halves; the reply says whether the claim was held.

        Args:
            worker: Who holds it.
            claim: As it is held.
            halves: Their headers.
            deaths: To note for both; a half of one item is noted one less, for what killed the whole may not have
                been that item, and it may have been waiting when somebody killed its process.
            pipe: See above.
        """
        k = self.keys
        noted = [max(0, deaths - (len(half.offsets) == 1)) for half in halves]
        return self.scripts.split(
            [k.hash, k.pending, k.claims, k.chunks],
            [claim.number, f"{claim.deaths} {worker}", *noted, *map(bytes, halves)],
            pipe,
        )

    def held_by(self, worker: str) -> dict[int, int]:
        """Number -> deaths of each chunk the worker holds."""
        held: dict[int, int] = {}
        for number, claim in self.connection.hgetall(self.keys.claims).items():
            deaths, _, name = claim.partition(b" ")
            if name == worker.encode() and number.isdigit() and deaths.isdigit():
                held[int(number)] = int(deaths)
        return held

    def release_orphans(self) -> int:
        """Give back the chunks of workers that do not work on this map any more; returns how many.

        They are those that have no lease (a service) and no execution of this map or of a helper job of it (a
        stock RQ worker). That is how the claims of a stock worker's killed horse come back.
        """
        claims = self.connection.hvals(self.keys.claims)
        workers = {claim.partition(b" ")[2].decode("utf-8", "replace") for claim in claims}
        return sum(self.release(name) for name in workers if not self._is_at_work(name))

    def check(self) -> None:
        """See that an open map can still be completed; its owner asks when nothing of it is in hand.

        Raises:
            DamagedError: If items are neither done nor in a chunk that is pending or claimed: somebody has changed
                the map's keys, and it would stay open for ever.
        """
        k = self.keys
        with self.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            pipe.llen(k.pending)
            pipe.hlen(k.claims)
            fields, pending, claimed = pipe.execute()
        info = read_info(fields)
        if fields and info.state == "open" and not (info.complete or pending or claimed):
            missing = info.total - info.done - info.failed
            raise DamagedError(
                f"{missing} of {info.total} items are in no chunk any more: {k.pending} was changed"
            )

    def _is_at_work(self, worker: str) -> bool:
        if self.connection.zscore(keys.LEASES, worker) is not None:
            return True
        ours = (f"{self.keys.id}:", f"{self.keys.id}-helper-")
        executions = self.connection.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker))
        return any(execution.decode("utf-8", "replace").startswith(ours) for execution in executions)

    def close(self, reason: str = "", pipe: Any = None, *, kill: bool = False) -> None:
        """Accept no more claims and commits; what is left can be opened again. ``kill`` what runs, if told so."""
        k = self.keys
        args = [reason, time.time(), k.id, PUBSUB_CHANNEL_TEMPLATE, int(kill)]
        self.scripts.close([k.hash, k.pending, k.claims, k.events], args, pipe)

    def expire(self, ttl: int) -> None:
        """Let all keys live for ``ttl`` seconds; -1: for ever, 0: not at all."""
        with self.connection.pipeline() as pipe:
            for key in self.keys.all:
                if ttl == 0:
                    pipe.delete(key)
                elif ttl < 0:
                    pipe.persist(key)
                else:
                    pipe.expire(key, ttl)
            if ttl == 0:
                pipe.zrem(keys.MAPS, self.keys.id)
            pipe.execute()

    def tell_end(self, *, delete: bool = False) -> None:
        """Tell whoever waits that the map's job has ended; and ``delete`` the keys, if nothing is to be kept."""
        if delete:
            self.expire(0)
        self.connection.publish(self.keys.end, _END)


def function_codec(job_id: str, *, star: bool) -> Codec:
    """For the pickled function of a map; how it is called is a part of the place for which it is signed."""
    return codec.at("function", job_id, "star" if star else "")
