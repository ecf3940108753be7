"""What kind of job an RQ job hash describes: a map, a call for help with one, or a plain job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from taskq.redis import ids, keys
from taskq.redis.schema import FIRST

MAP, HELPER = "map", "helper"


class Kind(NamedTuple):
    """What the mark in a job's hash says.

    Args:
        name: ``MAP``, ``HELPER``, or "" for a plain job.
        map_id: Of the map that a helper is to help with.
        incarnation: Of the map.
    """

    name: str
    map_id: str = ""
    incarnation: str = ""


def schema_of(fields: Mapping[bytes, bytes]) -> int:
    """The schema of the producer of a map, by the raw hash of its RQ job; see schema.py."""
    _name, *rest = fields.get(keys.JOB_KIND.encode(), b"").decode("utf-8", "replace").split(" ")
    if not rest:
        return FIRST  # it knows no incarnations
    return int(rest[1]) if len(rest) > 1 and rest[1].isdecimal() else FIRST + 1


def kind_of(fields: Mapping[bytes, bytes]) -> Kind:
    """What kind of job a raw RQ job hash is.

    The mark is a field of the hash, so that it can be read without unpickling anything of the user's.
    """
    name, *rest = fields.get(keys.JOB_KIND.encode(), b"").decode("utf-8", "replace").split(" ")
    if name == MAP:
        return Kind(MAP, "", *rest[:1])
    return Kind(HELPER, *rest[:2]) if name == HELPER and rest and ids.read(rest[0]) else Kind("")
