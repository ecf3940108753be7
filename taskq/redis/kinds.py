"""What kind of job an RQ job hash describes: a map, a call for help with one, or a plain job."""

from __future__ import annotations

from collections.abc import Mapping

from taskq.redis import keys

MAP, HELPER = "map", "helper"


def kind_of(fields: Mapping[bytes, bytes]) -> tuple[str, str]:
    """What kind of job a raw RQ job hash is: ``("map", "")``, ``("helper", map id)`` or ``("", "")``.

    The mark is a field of the hash, so that it can be read without unpickling anything of the user's.
    """
    kind, _, map_id = fields.get(keys.JOB_KIND.encode(), b"").decode("utf-8", "replace").partition(" ")
    return (kind, map_id) if kind in (MAP, HELPER) else ("", "")
