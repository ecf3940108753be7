"""What can be learnt of a map from its keys in Redis, without changing any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskq.errors import DamagedError, ResultsGoneError
from taskq.maps.info import MapInfo, read_info
from taskq.payload import codec
from taskq.payload.codec import Codec
from taskq.payload.outcome import ItemFailure
from taskq.redis.keys import MapKeys
from taskq.redis.list_reader import ListReader


@dataclass(frozen=True)
class AtEnd:
    """What is known of a map that has ended."""

    info: MapInfo
    failures: dict[int, ItemFailure]
    results: int  # in the result list
    spans: list[tuple[int, int]]


class MapReader:
    """Reads the keys of one map.

    Args:
        job_id: The map's RQ job.
        connection: Anything redis-py compatible.
    """

    def __init__(self, job_id: str, connection: Any) -> None:
        self.keys = MapKeys(job_id)
        self.connection = connection

    @property
    def _error_codec(self) -> Codec:
        return codec.at("error record", self.keys.id)

    def info(self) -> MapInfo:
        """What the hash says now.

        Raises:
            ResultsGoneError: If there is no such map (any more).
        """
        return self._info(self.connection.hgetall(self.keys.hash))

    def _info(self, fields: dict[bytes, bytes]) -> MapInfo:
        if not fields:
            raise ResultsGoneError(
                f"the map {self.keys.id} has no keys in Redis: its results expired (result_ttl), or it was deleted"
            )
        return read_info(fields)

    def at_end(self, first: int, count: int) -> AtEnd:
        """All that there is to know of a map that has ended, but its results, in one round trip.

        Args:
            first: Number of the first span that is wanted.
            count: Spans that are wanted at most.

        Raises:
            As ``info``, ``failures`` and ``spans``.
        """
        k = self.keys
        with self.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            pipe.hgetall(k.errors)
            pipe.llen(k.results)
            pipe.lrange(k.spans, first, first + count - 1)
            fields, failures, results, spans = pipe.execute()
        return AtEnd(self._info(fields), self._failures(failures), results, self._spans(spans))

    def exists(self) -> bool:
        return bool(self.connection.exists(self.keys.hash))

    @cached_property
    def results(self) -> ListReader:
        """Reads the pickled results, in the order of the result list."""
        return ListReader(self.connection, self.keys.results)

    def spans(self, first: int = 0, count: int = 0) -> list[tuple[int, int]]:
        """``(first item index, count)`` for each run of results, in the order of the result list.

        All from number ``first`` on, or at most ``count`` of them.

        Raises:
            DamagedError: If one is no span.
        """
        return self._spans(self.connection.lrange(self.keys.spans, first, first + count - 1 if count else -1))

    def _spans(self, raw: list[bytes]) -> list[tuple[int, int]]:
        try:
            return [(int(start), int(count)) for start, count in (span.split(b":") for span in raw)]
        except ValueError as error:
            raise DamagedError(f"{self.keys.spans} holds what is no span: {error}") from error

    def failures(self) -> dict[int, ItemFailure]:
        """Item index -> error record, by index.

        Raises:
            SignatureError: If there is a secret key, and one is not signed for this map.
            DamagedError: If one is no record of the item at which it stands.
        """
        return self._failures(self.connection.hgetall(self.keys.errors))

    def _failures(self, raw: dict[bytes, bytes]) -> dict[int, ItemFailure]:
        reader = self._error_codec
        found = [self._failure(reader, field, data) for field, data in raw.items()]
        return {failure.index: failure for failure in sorted(found, key=lambda failure: failure.index)}

    def failed(self) -> int:
        """How many items have an error record."""
        return int(self.connection.hlen(self.keys.errors))

    def failures_at(self, indexes: range) -> list[ItemFailure | None]:
        """The error records of these items; None for an item that has none."""
        reader = self._error_codec
        fields = [b"%d" % index for index in indexes]  # text also for a connection that is not ours: see _Packer
        raw = self.connection.hmget(self.keys.errors, fields) if fields else []
        return [
            None if data is None else self._failure(reader, field, data)
            for field, data in zip(fields, raw, strict=True)
        ]

    def each_failure(self) -> Iterator[ItemFailure]:
        """Every error record, in no order; a batch of them is in memory at a time."""
        reader = self._error_codec
        seen: set[bytes] = set()  # a hash that changes meanwhile may show a field twice
        for field, data in self.connection.hscan_iter(self.keys.errors, count=1000):
            if field not in seen:
                seen.add(field)
                yield self._failure(reader, field, data)

    def _failure(self, reader: Codec, field: bytes, data: bytes) -> ItemFailure:
        failure = ItemFailure.from_json(reader.open(data))
        if field != b"%d" % failure.index:
            raise DamagedError(f"{self.keys.errors} holds at {field!r:.40} the record of item {failure.index}")
        return failure
