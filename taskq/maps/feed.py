"""The producer's side of an open map: what was accepted goes to the server, in order and once.

put(item) ──Chunker──> kept (chunks, the newest some seconds) ──put.lua──> where the map ends
                          ^                                                   |
                          └── said again from where the map ends by now ──────┘
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from taskq.errors import DamagedError, EnoughError, MapError, TaskqError
from taskq.maps import own_feed
from taskq.maps.chunk import MAX_ITEMS, SOFT_BYTES, Chunk, Chunker, until_raised
from taskq.maps.fits import Fits
from taskq.maps.info import MapInfo, seal_codec, signed_put
from taskq.maps.memo import Memo
from taskq.maps.store import MapStore
from taskq.maps.waiting import Events
from taskq.payload import proxies
from taskq.redis import keys

log = logging.getLogger(__name__)

LEASE = 30.0  # seconds for which a producer may be silent
_RENEWALS = 3  # of a lease, within its time
_AGAIN = 1.0  # seconds until it is tried again, if the server can't be reached
KEEP = (10.0, 8 << 20)
"""Seconds, and bytes at most, for which chunks are kept that the server has: it may come back as it was before."""
_BATCH = 128  # chunks written in one round trip, unless they reach SOFT_BYTES before
_PACE = 0.002  # seconds to let pass after a commit, so that there are fewer looks for room
_TRIES = 5  # to make the server's end of the map and ours the same


class Feed:
    """Adds items to one open map, and keeps its producer's lease.

    Args:
        store: The map's.
        announced: What was announced of the map.
        feeder: A name that nobody else has drawn.
        chunker: Cuts what comes; only the chunks of an iterable that is given at once are larger than one item.
        unusable: Says why the map takes no more items, from the state that the server tells.
        memo: What gets the results of items with a key.
        items: How many the map has already, which others have put.
        own_workers: As of the queue.
    """

    def __init__(
        self, store: MapStore, announced: MapInfo, feeder: str, chunker: Chunker,
        unusable: Callable[[str], MapError], memo: Memo | None = None, items: int = 0,
        *, own_workers: bool = False,
    ) -> None:  # fmt: skip
        self._own_workers = own_workers
        self._store, self._announced, self._feeder, self._unusable = store, announced, feeder, unusable
        self._fits = Fits(store.connection)
        room = announced.terms.buffersize
        self._room = room or None
        self._chunker = replace(chunker, most=max(1, room // (2 * chunker.cores)) if room else MAX_ITEMS)
        self._own = os.getpid()
        self._turn = threading.Lock()  # one put after the other: each knows where the map ends
        self._turn_of: int | None = None  # the thread that has it
        self._talk = threading.Lock()  # with the server
        self._kept: deque[tuple[float, Chunk]] = deque()  # since when on the monotonic clock
        self._size = 0  # bytes of these
        self.items = items  # accepted
        self._there = items  # of them on the server, as last heard
        self._memo = memo
        self._named: dict[int, bytes] = {}  # of kept items, by their index: signature and key
        self.ended = 0  # with a result or an error record, as last heard
        self.sealed = self._given_up = False
        self.enough = False  # it has all results that it wants, and was asked to take more
        self._over = threading.Event()  # nothing more is to be said
        self._sealed_at: float | None = None

    @property
    def cores(self) -> int:
        """Of all workers that were alive when the map was opened."""
        return self._chunker.cores

    @property
    def picks_size(self) -> bool:
        """Whether nobody has said how many items a chunk has."""
        return self._chunker.chunksize is None

    # -- items -----------------------------------------------------------------------------------------

    def put(
        self, items: Iterable[Any], chunksize: int | None = None, wanted: Sequence[str] = (), *, wait: bool = True,
        stops: bool = False,
    ) -> range:  # fmt: skip
        """Add items; returns their indexes.

        Args:
            items: Written as they come.
            chunksize: Of just these items; None: as the map was told.
            wanted: Their keys in the memo; (): they have none.
            wait: For room, where too many are unfinished; else who calls looks at ``crowded`` himself.
            stops: Whether to read no more of them, and raise nothing, if it has all results that it wants.

        Raises:
            As ``OpenMap.put_many``.
        """
        chunker = self._chunker if chunksize is None else replace(self._chunker, chunksize=chunksize)
        with self._own_turn(), proxies.reaching(self._own_workers):
            self._check()
            first = self.items
            self._name(first, wanted)
            raised: list[BaseException] = []
            try:
                for batch in self._batches(until_raised(chunker.chunks(items, first), raised)):
                    self._add(batch)
                    if wait and not raised:
                        self._wait_for_room()  # only now: whatever it raises, what was taken counts as put
            except EnoughError:
                if not stops:
                    raise
            if raised:
                raise raised[0]
            return range(first, self.items)

    def _name(self, first: int, wanted: Sequence[str]) -> None:
        """Have the keys of items that are about to be added; of those that are not, others come in their place."""
        if wanted and self._memo is not None:
            k, memo = self._store.known, self._memo
            for index, key in enumerate(wanted, first):
                self._named[index] = memo.signature(k.id, k.incarnation, index, key) + b" " + key.encode()

    @property
    def speaks(self) -> bool:
        """Whether this process has more to say to the server, as far as it knows."""
        return not (self._over.is_set() or self.is_fork)

    @property
    def is_fork(self) -> bool:
        """Whether this process is a fork of the one that feeds the map."""
        return os.getpid() != self._own

    def _check_process(self) -> None:
        if self.is_fork:  # asked before any lock is: a thread that a fork does not have may have had it
            raise MapError(
                f"the map {self._store.keys.id} is fed by the process that opened it, and not by a fork"
            )

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """For the length of the block nobody else puts or seals.

        Raises:
            MapError: In a fork; or if this thread does already, and would wait for itself.
        """
        self._check_process()
        if self._turn_of == threading.get_ident():
            raise MapError(
                f"this thread is putting items into the map {self._store.keys.id} just now: what it reads them "
                "from can neither put nor seal. Put the items one by one"
            )
        with self._turn:
            self._turn_of = threading.get_ident()
            try:
                yield
            finally:
                self._turn_of = None

    def _check(self) -> None:
        if self._given_up:
            raise self._unusable("closed")
        if self.sealed:
            raise MapError(f"the map {self._store.keys.id} is sealed: it takes no more items")

    def flush(self) -> None:
        """Have all on the server that was accepted: after an outage.

        Raises:
            As ``OpenMap.put_many``.
        """
        with self._talk:
            self._say()

    def _batches(self, chunks: Iterator[Chunk]) -> Iterator[list[Chunk]]:
        """These chunks, so many of them as go in one round trip."""
        batch: list[Chunk] = []
        size = count = 0
        for chunk in chunks:
            batch.append(chunk)
            size, count = size + len(chunk.body), count + chunk.range.count
            full = self._room is not None and count + self.items - self.ended > self._room
            if size >= SOFT_BYTES or len(batch) >= _BATCH or full:
                yield batch
                batch, size, count = [], 0, 0
        if batch:
            yield batch

    def _add(self, batch: list[Chunk]) -> None:
        self._fits.check_chunks(batch)
        with self._talk:
            self._kept.extend((time.monotonic(), chunk) for chunk in batch)
            self._size += sum(len(chunk.body) for chunk in batch)
            self.items = batch[-1].range.end
            self._say()

    def _wait_for_room(self) -> None:
        """Wait while too many are unfinished; then until a quarter of them is not, so as to wait seldom."""
        if not self.crowded:
            return
        self.flush()
        if self.has_room:
            return
        with Events(self._store.connection, self._store.keys) as events:
            while not self.has_room:
                events.next(pace=_PACE)
                self.flush()

    @property
    def crowded(self) -> bool:
        """Whether more items are unfinished than may be, as last heard."""
        return self._room is not None and self.items - self.ended > self._room

    @property
    def has_room(self) -> bool:
        """Whether so many have ended that it is worth while to go on, as last heard; ``flush`` hears."""
        return self._room is None or self.items - self.ended <= self._room - self._room // 4

    # -- what is said to the server ----------------------------------------------------------------------

    def _say(self) -> None:
        """Have all on the server that was accepted, and the lease renewed.

        Raises:
            MapError: If the map takes no more, or is gone; or if the server has lost items that are not kept here.
            redis.exceptions.RedisError: If the server can't be reached; what was accepted is said the next time.
        """
        tries = _TRIES
        while tries:
            if not self._put(self._next()):
                tries -= 1
            elif self._there == self.items:
                self._forget()
                return
        raise self._lost()

    def _next(self) -> list[Chunk]:
        """What the server does not have, so much of it as goes in one round trip."""
        batch: list[Chunk] = []
        size = 0
        for _since, chunk in self._kept:
            if chunk.range.start >= self._there and size < SOFT_BYTES and len(batch) < _BATCH:
                batch.append(chunk)
                size += len(chunk.body)
        if (batch[0].range.start if batch else self.items) != self._there:
            raise self._lost()
        return batch

    def _put(self, chunks: list[Chunk]) -> bool:
        """Add chunks; False: the map does not end where it should, and it is known now where it does."""
        k, before = self._store.known, self._there
        flat = [part for chunk in chunks for part in (str(chunk.range), chunk.body)]
        after = chunks[-1].range.end if chunks else before
        named = [(n, self._named[n]) for n in range(before, after if self._named else 0) if n in self._named]
        note = keys.note(keys.WORK, k.id)
        signed = signed_put(k.id, k.incarnation, after) if chunks else b""
        args = [k.incarnation, self._feeder, LEASE, before, after, keys.NOTES, note, len(named), signed]
        args += [*(part for pair in named for part in pair), *flat]
        state, *numbers = self._store.scripts.put([k.hash, k.bodies, k.pending, k.memo], args)
        self._check_state(state, numbers[0])
        there, done, failed = map(self._number, numbers)
        if there != after:
            log.warning("the map %s has %d items, and not %d: the server came back as it was before", k.id, there,
                        after, extra={"action": "fed_again", "job": k.id})  # fmt: skip
        self._there, self.ended = there, done + failed
        return bool(there == after)

    def _check_state(self, state: bytes, items: bytes) -> None:
        if state != b"open":
            self._over.set()
            why = self._unusable(state.decode("utf-8", "replace"))
            if isinstance(why, EnoughError):  # what it did not take any more was not put
                self.enough, self.items = True, self._number(items)
                self._there = self.items
                self._kept.clear()
            raise why

    def _number(self, told: bytes) -> int:
        try:
            return int(told)
        except ValueError as error:
            raise DamagedError(f"{self._store.keys.hash} says {told[:80]!r} where a number is to stand") from error

    def _forget(self) -> None:
        """Drop what the server has had for long enough, or what is too much to be kept."""
        seconds, most = KEEP
        old = time.monotonic() - seconds
        while self._kept and (self._kept[0][0] < old or self._size > most):
            gone = self._kept.popleft()[1]
            self._size -= len(gone.body)
            for index in range(gone.range.start, gone.range.end if self._named else 0):
                self._named.pop(index, None)

    def _lost(self) -> MapError:
        return MapError(
            f"the server has lost items of the map {self._store.keys.id} from item {self._there} on: it came back "
            f"as it was before the {KEEP[0]:g} s for which they are kept here. Cancel the map, and push it again"
        )

    # -- the end -----------------------------------------------------------------------------------------

    def seal(self) -> None:
        """Have all on the server that was accepted, and the map sealed.

        Raises:
            As ``OpenMap.seal``.
        """
        with self._own_turn():
            if self._given_up:
                raise self._unusable("closed")
            if not self.sealed:
                with self._talk:
                    self._seal()
                self.sealed, self._sealed_at = True, time.monotonic()

    def _seal(self) -> None:
        k = self._store.known
        sealed = replace(self._announced, total=self.items)
        seal = seal_codec(k.id).close(sealed.announcement)
        if self._there != self.items:
            self._say()
        for _ in range(_TRIES):
            args = [k.incarnation, self._feeder, self.items, seal, k.events, PUBSUB_CHANNEL_TEMPLATE]
            state, there = self._store.scripts.seal([k.hash], args)
            if state == b"sealed" and there == b"%d" % self.items:
                return
            self._check_state(state, there)
            self._there = self._number(there)
            self._say()
        raise self._lost()

    def give_up(self) -> None:
        """Say nothing more: the map was cancelled."""
        self._given_up = True
        self._over.set()

    # -- the lease ---------------------------------------------------------------------------------------

    def begin(self, *, keep: bool = True) -> None:
        """The lease begins.

        Args:
            keep: Renew it from now on, in a thread; else who calls has ``renew`` called.
        """
        with self._talk:
            self._say()
        own_feed.note(self._store.known, self)
        if keep:
            name = f"taskq feeds {self._store.keys.id}"
            threading.Thread(target=self._keep, name=name, daemon=True).start()

    def _keep(self) -> None:
        pause: float | None = LEASE / _RENEWALS
        while pause is not None and not self._over.wait(pause):
            pause = self.renew()

    def renew(self) -> float | None:
        """Renew the lease, until a while after the seal, which may be lost, too.

        Returns:
            Seconds after which to do it again; None: there is no need any more.
        """
        if self._over.is_set() or (self._sealed_at and time.monotonic() - self._sealed_at > KEEP[0]):
            return None
        with suppress(RedisError, TaskqError):  # it is heard with the next put; here it is only tried again
            with self._talk:
                self._seal() if self._sealed_at else self._say()
            return LEASE / _RENEWALS if not self._sealed_at else _AGAIN
        return _AGAIN
