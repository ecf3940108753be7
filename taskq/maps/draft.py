"""A map that its producer is writing: nobody else may touch it before it is announced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rq.results import Result

from taskq.errors import MapError
from taskq.maps.chunk import Chunk
from taskq.maps.fits import Fits
from taskq.maps.info import MapInfo, read_info, seal_codec, signed_put
from taskq.payload import results
from taskq.payload.large import Blob, Told
from taskq.redis import admission, keys
from taskq.redis.keys import UNSEALED, MapField, MapKeys
from taskq.redis.lua import Scripts
from taskq.redis.schema import SCHEMA

PIECE = 1 << 20
"""Bytes of a function that are written by one script: 4 ms of the server's time, which all others wait for."""

_EXPIRED, _GAP = 0, -1  # what write.lua and append.lua say
_ASK = -1  # what begin.lua says


@dataclass
class Known:
    """Items that are to be written, of which some have results already.

    Args:
        after: How many items there are with these.
        chunks: Of those that are to be run.
        spans: ``(start, count)`` for each run of consecutive items with results.
        values: Pickled, of these.
        named: Index, and signature and key, of each item that is to be run.
    """

    after: int
    chunks: list[Chunk] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    named: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0  # bytes of these

    def put(self, index: int, value: bytes) -> None:
        """Have an item among those with results; they come in order."""
        if self.spans and sum(self.spans[-1]) == index:
            self.spans[-1] = self.spans[-1][0], self.spans[-1][1] + 1
        else:
            self.spans.append((index, 1))
        self.values.append(value)
        self.size += len(value)


class Draft:
    """One incarnation, from the moment at which its producer draws it until it is announced.

    Args:
        job_id: The map's RQ job.
        connection: Anything redis-py compatible.
    """

    def __init__(self, job_id: str, connection: Any) -> None:
        self.keys = MapKeys(job_id, os.urandom(16).hex())
        self.total = 0  # items written so far
        self.hits = 0  # of these, such as had results already
        self._function = 0  # bytes of it
        self._blobs: dict[str, Told] = {}  # by digest
        self._connection = connection
        self._scripts = Scripts(connection)
        self._fits = Fits(connection)

    def begin(self, function: bytes, fields: Mapping[str, Any]) -> bool:
        """Reserve the id and write function and hash; False if a map with this id exists.

        Raises:
            MapError: If what was written before is not there any more, wholly or in part.
            TooLargeError: If the server does not take a value of the function's size.
            VersionError: If services are alive that could not run what this version of taskq writes.
        """
        self._fits.check("the function", len(function))
        said = self._begin(SCHEMA, function[:PIECE], fields)
        if said == _ASK:
            admission.admit_producer(self._scripts, self._connection)
            said = self._begin("", function[:PIECE], fields)
        if not said:
            return False
        self._function = len(function)
        for start in range(PIECE, len(function), PIECE):
            self._append(start, function[start : start + PIECE])
        return True

    def keep(self, blob: Blob) -> None:
        """Write a large object, if it is not there yet.

        Raises:
            MapError: If what was written before is not there any more.
        """
        if blob.digest in self._blobs:
            return
        k, told = self.keys, Told(blob.digest, blob.size)
        for number, piece in enumerate(blob.pieces()):
            args = [keys.WRITING_TTL, k.incarnation, keys.piece(told.digest, number), piece]
            self._heard(self._scripts.blob([k.hash, k.blobs], args))
        self._blobs[told.digest] = told

    @property
    def kept(self) -> list[Told]:
        """The large objects that were written."""
        return list(self._blobs.values())

    def _append(self, start: int, piece: bytes) -> None:
        k = self.keys
        self._heard(self._scripts.append([k.hash, k.function], [k.incarnation, start, piece]))

    def _heard(self, said: int) -> None:
        """What write.lua and append.lua say."""
        if said == _EXPIRED:
            raise self._expired()
        if said == _GAP:
            raise self._lost()

    def _begin(self, schema: int | str, function: bytes, fields: Mapping[str, Any]) -> int:
        k = self.keys
        flat = [part for pair in fields.items() for part in pair]
        args = [keys.WRITING_TTL, k.incarnation, function, schema, *flat]
        own = k.hash, k.function
        others = [key for key in k.all if key not in own]
        return int(self._scripts.begin([*own, keys.SCHEMA, keys.LEASES, *others], args))

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Add the next chunks; they can't be claimed before ``announce``.

        Raises:
            TooLargeError: If the server does not take a value of a chunk's size.
            MapError: If what was written before is not there any more, wholly or in part.
        """
        self._fits.check_chunks(chunks)
        k = self.keys
        after = chunks[-1].range.end
        flat = [part for chunk in chunks for part in (str(chunk.range), chunk.body)]
        args = [keys.WRITING_TTL, k.incarnation, self.total, after, *flat]
        names = [k.hash, k.bodies, k.pending, k.function, *([k.blobs] if self._blobs else ())]
        self._heard(self._scripts.write(names, args))
        self.total = after

    def write_some(self, known: Known) -> None:
        """As ``write``, of items of which some have results already.

        Raises:
            As ``write``.
        """
        self._fits.check_chunks(known.chunks)
        k = self.keys
        args = [
            keys.WRITING_TTL, k.incarnation, self.total, known.after,
            len(known.chunks), len(known.spans), len(known.named),
            *(part for chunk in known.chunks for part in (str(chunk.range), chunk.body)),
            *(f"{start}:{count}" for start, count in known.spans),
            *(part for pair in known.named for part in pair),
            *results.sealed((k.results, k.incarnation), known.values, known.spans),
        ]  # fmt: skip
        names = [k.hash, k.bodies, k.pending, k.function, k.results, k.spans, k.memo]
        names += [k.blobs] if self._blobs else []
        self._heard(self._scripts.write_memo(names, args))
        self.total, self.hits = known.after, self.hits + len(known.values)

    def renew(self, seconds: float) -> None:
        """Say that who writes it lives, and will for so long at least."""
        self._scripts.writing([self.keys.hash], [self.keys.incarnation, seconds])

    def is_announced(self, pipe: Any) -> bool:
        """Whether it was announced before, and only the reply was lost.

        Raises:
            MapError: If it can't be: what was written is not all there.
        """
        fields = (MapField.INCARNATION, MapField.STATE, MapField.NEXT)
        incarnation, state, written = pipe.hmget(self.keys.hash, fields)
        if incarnation is None or incarnation.decode() != self.keys.incarnation:
            raise self._expired()
        if state != b"writing":
            return True
        if int(written or 0) != self.total or pipe.strlen(self.keys.function) != self._function:
            raise self._lost()
        if self._blobs and pipe.hlen(self.keys.blobs) != sum(told.count for told in self._blobs.values()):
            raise self._lost()
        return False

    def announced(self, fields: Mapping[str, Any], *, sealed: bool = True) -> MapInfo:
        """What is announced: ``fields`` as they were given to ``begin``; not ``sealed``: of an open map."""
        total = self.total if sealed else UNSEALED
        told = {**fields, MapField.INCARNATION: self.keys.incarnation, MapField.TOTAL: total}
        return read_info({name.encode(): str(value).encode() for name, value in told.items()})

    def announce(self, pipe: Any, fields: Mapping[str, Any], ttl: int | None, *, sealed: bool = True) -> None:
        """Open the map, in the transaction which makes its RQ job visible (I5).

        Args:
            pipe: With that transaction.
            fields: As they were given to ``begin``.
            ttl: Seconds after which RQ lets the job itself expire if nobody begins it; None: never.
            sealed: Whether all items are written; else it is an open map.
        """
        k, info = self.keys, self.announced(fields, sealed=sealed)
        seal = seal_codec(k.id).close(info.announcement)
        told = {MapField.TOTAL: info.total, MapField.SEAL: seal, MapField.STATE: "open"}
        if MapField.FEEDER in fields and (put := signed_put(k.id, k.incarnation, 0)):
            told[MapField.PUT_SEAL] = put
        with_memo = bool(info.terms.memo)
        if MapField.WRITER in fields:
            pipe.hdel(k.hash, MapField.WRITER)
        if MapField.TERMS in fields:  # which tell of the items, and were not known at the beginning
            told[MapField.TERMS] = fields[MapField.TERMS]
        pipe.hset(k.hash, mapping=told)
        self._scripts.enlist.in_full([keys.MAPS], [k.id], pipe)
        pipe.delete(Result.get_key(k.id))  # of an earlier job, whose deletion was interrupted
        others = *((k.results, k.spans, k.memo) if with_memo else ()), *((k.blobs,) if self._blobs else ())
        for key in (k.hash, k.function, k.bodies, k.pending, *others):
            if ttl is None:
                pipe.persist(key)
            else:
                pipe.expire(key, ttl + keys.WRITING_TTL)  # an owner that just got it persists these

    def abandon(self) -> None:
        """Remove what was written, unless it was announced, and the reply to that was not heard."""
        self._scripts.abandon(list(self.keys.all), [self.keys.incarnation])

    def _expired(self) -> MapError:
        return MapError(
            f"the items of the map {self.keys.id} came too slowly: nothing was written for {keys.WRITING_TTL} s, "
            "so what there was has expired. Collect them in a list first."
        )

    def _lost(self) -> MapError:
        return MapError(
            f"the server has lost items of the map {self.keys.id} while they were written: it came back as it was "
            "some moments before. Nothing of the map was announced; push it again."
        )
