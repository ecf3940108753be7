"""Maps that another version of taskq has pushed, with which this one can't work side by side: see schema.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rq.job import Job

from taskq.errors import VersionError
from taskq.maps.controlled import ENDED
from taskq.redis import ids, keys
from taskq.redis.kinds import MAP, kind_of, schema_of
from taskq.redis.schema import SCHEMA, is_adjacent

_STEP = 500  # maps that are looked at in one round trip, about
_NAMED = 5  # of those that are open, in a message


def check_open(connection: Any) -> None:
    """See that no such map is open: it would be touched by nobody, and its keys by somebody who can't read them.

    Costs a round trip or two for each 500 maps there are.

    Raises:
        VersionError: If one is; says which, and what to do.
    """
    found = sorted(_open(connection))
    if found:
        named = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        raise VersionError(
            f"{len(found)} maps have not ended that another version of taskq has pushed, and that this one "
            f"(schema {SCHEMA}) can't run: {named}. Drain before you start: let the workers of that version "
            "finish them (`taskq status` shows when), or cancel them (`taskq cancel ID`). See docs/operations.md, "
            "Upgrading"
        )


def _open(connection: Any) -> set[str]:
    found = set()
    cursor = -1
    while cursor:
        cursor, listed = connection.zscan(keys.MAPS, max(0, cursor), count=_STEP)
        names = [name for raw, _pushed in listed if (name := ids.read(raw))]
        with connection.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(Job.key_for(name), keys.JOB_KIND, "status")
            replies = pipe.execute(raise_on_error=False)
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, list) and _is_open(*reply):
                found.add(name)
    return found


def _is_open(mark: bytes | None, status: bytes | None) -> bool:
    fields = {keys.JOB_KIND.encode(): mark or b""}
    ended = status is None or any(status == one.value.encode() for one in ENDED)
    return not ended and kind_of(fields).name == MAP and not is_adjacent(schema_of(fields))


def refusal(job: Mapping[bytes, bytes]) -> str:
    """Why a worker does not run a map that has come to it, by the raw hash of its RQ job; "" if it does."""
    schema = schema_of(job)
    if is_adjacent(schema):
        return ""
    return (
        f"it was pushed by another version of taskq (schema {schema}) than the workers have (schema {SCHEMA}), "
        "and they can't work side by side. Nothing of it has run. Push it with the version that the workers "
        "have; see docs/operations.md, Upgrading"
    )
