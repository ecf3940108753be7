"""What kind of job an RQ job hash describes: a map, or a plain job."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from taskq.redis import keys
from taskq.redis.schema import FIRST

MAP = "map"
FIELDS = (keys.JOB_KIND, "created_at")
"""What ``kind_of`` looks at, of a job's hash."""

RUN_MAP = "taskq.maps.rq_jobs.run_map"
"""The function of every map's RQ job."""

_MARK, _CREATED = (name.encode() for name in FIELDS)
_DATA = b"data"
_LONGEST = 4096  # bytes: a map's job has no arguments
_MADE = 3  # word of a mark
_DATE = re.compile(rb"([\d-]+T[\d:]+)(?:\.(\d+))?Z")  # as RQ writes, or reads, one
_DIGITS = 6  # of its microseconds


def mark_of(incarnation: str, schema: int, created_at: str) -> str:
    """The mark of a map, as ``kind_of`` reads it; ``created_at`` as RQ writes it."""
    return f"{MAP} {incarnation} {schema} {created_at}"


class Kind(NamedTuple):
    """What the mark in a job's hash says.

    Args:
        name: ``MAP``, or "" for a plain job.
        incarnation: Of the map.
    """

    name: str
    incarnation: str = ""


def schema_of(fields: Mapping[bytes, bytes]) -> int:
    """The schema of the producer of a map, by the raw hash of its RQ job; see schema.py."""
    _name, *rest = fields.get(_MARK, b"").decode("utf-8", "replace").split(" ")
    if not rest:
        return FIRST  # it knows no incarnations
    return int(rest[1]) if len(rest) > 1 and rest[1].isdecimal() else FIRST + 1


def is_left_over(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the mark is of a map that had this id before: RQ writes a job over what is there, field by field.

    A mark tells when its map was made. One of an older version does not, and counts as the job's own; so does
    any mark beside what is no date, which RQ has not written. And beside an earlier date, if the job is to run a
    map, or that was not read: who saves an object of a former map with this id writes that one's.
    """
    words = fields.get(_MARK, b"").split(b" ")
    made, data = fields.get(_CREATED, b""), fields.get(_DATA)
    if len(words) <= _MADE or made == words[_MADE] or _DATE.fullmatch(made) is None:
        return False
    return is_later(made, words[_MADE]) or (data is not None and not _runs_a_map(data))


def _runs_a_map(data: bytes) -> bool:
    """Whether the pickled function of a job, which is compressed, and may be signed, is that of all maps."""
    with suppress(zlib.error):  # as in RQ: it may be as it is
        data = zlib.decompressobj().decompress(data, _LONGEST)
    return RUN_MAP.encode() in data


def is_other(made: bytes, seen: bytes | None) -> bool:
    """Whether what was pushed at one of these times is another job than what was pushed at the other.

    RQ draws a time with each push, and writes it anew as it is with each ``Job.save()``: to the microsecond,
    whatever other producers have written. Where one of the two is none, nobody can tell, and it is the same.
    """
    one, other = _moment(made), _moment(seen or b"")
    return bool(one and other and one != other)


def is_later(one: bytes | None, other: bytes) -> bool:
    """Whether the first of two such times is the later one."""
    return _moment(one or b"") > _moment(other)


def _moment(date: bytes) -> bytes:
    found = _DATE.fullmatch(date)
    return found[1] + b"." + (found[2] or b"").ljust(_DIGITS, b"0")[:_DIGITS] if found else b""


def kind_of(fields: Mapping[bytes, bytes]) -> Kind:
    """What kind of job a raw RQ job hash is.

    The mark is a field of the hash, so that it can be read without unpickling anything of the user's.
    """
    name, *rest = fields.get(_MARK, b"").decode("utf-8", "replace").split(" ")
    return Kind(MAP, *rest[:1]) if name == MAP and not is_left_over(fields) else Kind("")


def read(values: Sequence[bytes | None]) -> Kind:
    """The same, of nothing but ``FIELDS``."""
    return kind_of(
        {name: value for name, value in zip((_MARK, _CREATED), values, strict=True) if value is not None}
    )
