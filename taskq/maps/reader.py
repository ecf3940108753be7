"""What can be learnt of a map from its keys in Redis, without changing any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from redis.exceptions import ResponseError

from taskq.errors import DamagedError, OptionError, ReplacedError, ResultsGoneError
from taskq.maps import refusal
from taskq.maps.info import MapInfo, check_announcement, read_info
from taskq.maps.refusal import Refusal
from taskq.payload import codec
from taskq.payload.codec import Codec
from taskq.payload.large import PIECE, Told
from taskq.payload.outcome import ItemFailure
from taskq.redis import checked, keys
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.list_reader import ListReader
from taskq.views import error_groups
from taskq.views.error_groups import ErrorGroup

_GLANCE = (
    MapField.INCARNATION, MapField.STATE, MapField.NAME, MapField.TOTAL, MapField.DONE, MapField.FAILED,
    MapField.STARTED, MapField.ENDED, MapField.NEXT,
)  # fmt: skip


@dataclass(frozen=True)
class AtEnd:
    """What is known of a map that has ended."""

    info: MapInfo
    results: int  # in the result list
    errors: int  # error records
    spans: list[tuple[int, int]]


@dataclass(frozen=True)
class Merged:
    """A part of what is known of a map that keeps no results; see ``MapReader.merged``.

    Args:
        runs: ``(first item, the one after the last)`` of runs of items that have results.
        ends: The same runs as they stand there by their ends: as many, and the same ones, where all is well.
        cursor: Where it goes on; 0: this was the last part.
    """

    info: MapInfo
    errors: int  # error records
    runs: list[tuple[int, int]]
    ends: list[tuple[int, int]]
    cursor: int


class MapReader:
    """Reads the keys of one map.

    Args:
        job_id: The map's RQ job.
        connection: Anything redis-py compatible.
        incarnation: The one that is meant; "": whichever is there when it is first looked at.
    """

    def __init__(self, job_id: str, connection: Any, *, incarnation: str = "") -> None:
        self.keys = MapKeys(job_id, incarnation)
        self.connection = connection

    @property
    def known(self) -> MapKeys:
        """The keys, with the incarnation that is meant from now on; "" as long as there is no such map."""
        if not self.keys.incarnation:
            self._meant(self.connection.hget(self.keys.hash, MapField.INCARNATION) or b"")
        return self.keys

    def _meant(self, incarnation: bytes) -> None:
        self.keys = MapKeys(self.keys.id, incarnation.decode("ascii", "replace"))

    @property
    def place(self) -> tuple[str, str]:
        """For which the elements of the result list are signed: see ``results.codec_of``."""
        k = self.known
        return k.results, k.incarnation

    @property
    def _error_codec(self) -> Codec:
        return codec.at("error record", self.keys.id, self.known.incarnation)

    def info(self) -> MapInfo:
        """What the hash says now.

        Raises:
            ResultsGoneError: If there is no such map (any more).
            ReplacedError: If its id was pushed again.
            SignatureError, DamagedError: If the hash says what its producer has not said.
        """
        return self._info(self.connection.hgetall(self.keys.hash))

    def glance(self) -> MapInfo:
        """As ``info``, of what changes and the name alone: some hundred bytes, however long a reason is.

        Raises:
            ResultsGoneError, ReplacedError, DamagedError: As ``info``; nothing is checked for being signed.
        """
        values = self.connection.hmget(self.keys.hash, _GLANCE)
        known = {name.encode(): value for name, value in zip(_GLANCE, values, strict=True) if value is not None}
        return self._meant_one(known)

    def _info(self, fields: dict[bytes, bytes]) -> MapInfo:
        info = self._meant_one(fields)
        check_announcement(self.keys.id, info)
        return info

    def _meant_one(self, fields: dict[bytes, bytes]) -> MapInfo:
        if not fields:
            raise ResultsGoneError(
                f"the map {self.keys.id} has no keys in Redis: its results expired (result_ttl), or it was deleted"
            )
        if not self.keys.incarnation:
            self._meant(fields.get(MapField.INCARNATION.encode(), b""))
        info = read_info(fields)
        self._check(info.incarnation.encode())
        return info

    def _check(self, incarnation: bytes | None) -> None:
        if incarnation is None or incarnation == self.known.incarnation.encode():
            return
        raise replaced(self.keys.id)

    def _read(self, ask: Callable[[Any], object]) -> Any:
        """What the server says, if it says it of the map that is meant.

        An id has one life after the other, so what was read before the incarnation belongs to it.

        Args:
            ask: Is given a pipeline, and queues one command there.

        Raises:
            ReplacedError: If the id was pushed again.
        """
        with self.connection.pipeline(transaction=False) as pipe:
            ask(pipe)
            pipe.hget(self.keys.hash, MapField.INCARNATION)
            reply, incarnation = pipe.execute()
        self._check(incarnation)
        return reply

    def function(self, first: int = 0, count: int | None = None) -> bytes:
        """The pickled function, or some of it.

        Args:
            first: Byte of it.
            count: Bytes; None: all that follow. There are fewer at its end only.

        Raises:
            DamagedError: If it is gone.
            ReplacedError: If the map's id was pushed again.
        """
        last = -1 if count is None else first + count - 1
        data: bytes = self._read(lambda pipe: pipe.getrange(self.keys.function, first, last))
        if not data and not first:
            raise DamagedError(f"the function of the map {self.keys.id} is gone: {self.keys.function} was deleted")
        return data

    def piece(self, told: Told, number: int) -> bytes:
        """A piece of a large object that the map refers to; not compared with its name yet.

        Raises:
            DamagedError: If it is gone, or is not as long as it should be.
            ReplacedError: If the map's id was pushed again.
        """
        key = keys.shared(told.kept) if told.kept else self.keys.blobs
        field = str(number) if told.kept else keys.piece(told.digest, number)
        data: bytes | None = self._read(lambda pipe: pipe.hget(key, field))
        if data is None:
            why = "it was unshared, or has expired" if told.kept else f"{key} was deleted or evicted"
            raise DamagedError(f"a large object of the map {self.keys.id} is gone: {why}")
        if len(data) != min(PIECE, told.size - number * PIECE):
            raise DamagedError(f"a large object of the map {self.keys.id} was changed: piece {number} in {key}")
        return data

    def large(self, told: Told) -> memoryview:
        """All of a large object, in memory of this process.

        Raises:
            As ``piece``; and DamagedError if its bytes are not those of its name.
        """
        held = bytearray()
        for number in range(told.count):
            held += self.piece(told, number)
        if hashlib.sha256(held).hexdigest() != told.digest:
            raise DamagedError(f"a large object of the map {self.keys.id} was changed: it is not {told.digest}")
        return memoryview(held).toreadonly()

    def at_end(self, first: int, count: int) -> AtEnd:
        """What there is to know of a map that has ended, but its results and errors, in one round trip.

        Args:
            first: Number of the first span that is wanted.
            count: Spans that are wanted at most.

        Raises:
            As ``info`` and ``spans``.
        """
        k = self.keys
        with self.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            pipe.hlen(k.errors)
            pipe.llen(k.results)
            pipe.lrange(k.spans, first, first + count - 1)
            fields, errors, results, spans = pipe.execute()
        return AtEnd(self._info(fields), results, errors, self._spans(spans))

    def merged(self, cursor: int, count: int) -> Merged:
        """As ``at_end``, of a map that keeps no results: a part of the runs, of which some may be told twice.

        Args:
            cursor: 0 at first, and then where the part before has ended.
            count: Runs that are wanted, about.

        Raises:
            As ``info``; and DamagedError if one is none.
        """
        k = self.keys
        with self.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            pipe.hlen(k.errors)
            pipe.hscan(k.spans, cursor, count=2 * count)
            fields, errors, (cursor, found) = pipe.execute()
        try:
            pairs = [(name.split(), int(value)) for name, value in found.items()]
            runs = [(int(first), end) for (kind, first), end in pairs if kind == b"from"]
            ends = [(first, int(end)) for (kind, end), first in pairs if kind == b"to"]
        except ValueError as error:
            raise DamagedError(f"{k.spans} holds what is no run of items: {error}") from error
        return Merged(self._info(fields), errors, runs, ends, int(cursor))

    def exists(self) -> bool:
        return bool(self.connection.exists(self.keys.hash))

    def state(self) -> str:
        """The map's, "" if it is gone; of whatever map has the id by now."""
        return checked.text(self.connection.hget(self.keys.hash, MapField.STATE))

    @cached_property
    def results(self) -> ListReader:
        """Reads the pickled results, in the order of the result list; raises as ``spans``, if it is another's."""
        return ListReader(self.connection, self.keys.results, self._read)

    def spans(self, first: int, count: int) -> list[tuple[int, int]]:
        """``(first item index, count)`` for each run of results, in the order of the result list.

        Args:
            first: Number of the first that is wanted.
            count: How many are at most.

        Raises:
            DamagedError: If one is no span.
            OptionError: If the map keeps no results.
            ReplacedError: If the map's id was pushed again.
        """
        last = first + count - 1
        try:
            raw = self._read(lambda pipe: pipe.lrange(self.keys.spans, first, last))
        except ResponseError as error:
            if self.info().terms.discards:
                raise discarded(self.keys.id) from error
            raise
        return self._spans(raw)

    def _spans(self, raw: list[bytes]) -> list[tuple[int, int]]:
        try:
            return [(int(start), int(count)) for start, count in (span.split(b":") for span in raw)]
        except ValueError as error:
            raise DamagedError(f"{self.keys.spans} holds what is no span: {error}") from error

    def first_failure(self, info: MapInfo) -> ItemFailure | None:
        """The error record of the first item that failed, in the order of the items; None if none has.

        Raises:
            As ``each_failure``; and DamagedError if items have failed, and the record of the first is gone.
        """
        if not info.failed or info.first is None:
            return None
        [found] = self.failures_at(range(info.first, info.first + 1))
        if found is None:
            raise DamagedError(f"the error record of item {info.first} is gone: {self.keys.errors} was changed")
        return found

    def refusals(self) -> dict[str, Refusal]:
        """Worker -> why it can't run this map."""
        return refusal.read(self._read(lambda pipe: pipe.hgetall(self.keys.refusals)))

    def groups(self) -> list[ErrorGroup]:
        """The errors by kind, the largest group first, each with one record; no more is read than these."""
        counted = [
            (int(count), int(index))
            for value in self._read(lambda pipe: pipe.hvals(self.keys.groups))
            for count, _, index in [value.partition(b" ")]
            if count.isdigit() and index.isdigit()
        ]
        samples = self.failures_at([index for _count, index in counted])
        return error_groups.ranked(
            (count, sample) for (count, _), sample in zip(counted, samples, strict=True) if sample is not None
        )

    def failed(self) -> int:
        """How many items have an error record.

        Raises:
            ReplacedError: If the map's id was pushed again.
        """
        return int(self._read(lambda pipe: pipe.hlen(self.keys.errors)))

    def failures_at(self, indexes: Sequence[int]) -> list[ItemFailure | None]:
        """The error records of these items; None for an item that has none.

        Raises:
            As ``each_failure``.
        """
        reader = self._error_codec
        fields = [b"%d" % index for index in indexes]  # text also for a connection that is not ours: see _Packer
        raw = self._read(lambda pipe: pipe.hmget(self.keys.errors, fields)) if fields else []
        return [
            None if data is None else self._failure(reader, field, data)
            for field, data in zip(fields, raw, strict=True)
        ]

    def each_failure(self) -> Iterator[ItemFailure]:
        """Every error record, in no order; a batch of them is in memory at a time.

        Raises:
            SignatureError: If there is a secret key, and one is not signed for this map.
            DamagedError: If one is no record of the item at which it stands.
            ReplacedError: If the map's id was pushed again.
        """
        reader = self._error_codec
        seen: set[bytes] = set()  # a hash that changes meanwhile may show a field twice
        cursor = -1
        while cursor:
            ask = partial(_scan, self.keys.errors, max(cursor, 0))
            cursor, batch = self._read(ask)
            for field, data in batch.items():
                if field not in seen:
                    seen.add(field)
                    yield self._failure(reader, field, data)

    def _failure(self, reader: Codec, field: bytes, data: bytes) -> ItemFailure:
        failure = ItemFailure.from_json(reader.open(data))
        if field != b"%d" % failure.index:
            raise DamagedError(f"{self.keys.errors} holds at {field!r:.40} the record of item {failure.index}")
        return failure


def discarded(map_id: str) -> OptionError:
    """For whoever asks for the results of a map that keeps none."""
    return OptionError(
        f'the map {map_id} was pushed with results="discard", and keeps none. job.count() waits for it, raises '
        "what its first failed item has raised, and tells how many have succeeded"
    )


def replaced(map_id: str) -> ReplacedError:
    """For whoever means a map whose id was pushed again."""
    return ReplacedError(
        f"the map {map_id} was replaced: its id was pushed again, and what there is now belongs to the new one; "
        "fetch the job to read it"
    )


def _scan(key: str, cursor: int, pipe: Any) -> None:
    pipe.hscan(key, cursor, count=1000)
