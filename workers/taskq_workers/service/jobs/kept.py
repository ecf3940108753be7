"""Maps of which processes keep something, and of which this service has let go for now: they may come again.

A guest leaves when nothing is pending, and joins again when something is. What a process has of a map beside its
function (an initializer has run there, ``taskq.state()`` is in use) is kept meanwhile, until the map is over.
"""

from __future__ import annotations

from collections.abc import Container

from taskq.redis.keys import MapField, MapKeys
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State

_FIELDS = (MapField.INCARNATION, MapField.STATE)


def keep(state: State, run: MapRun) -> None:
    """Keep what processes have of a map under the key that it has now, which is not over."""
    if run.remembers or run.flying:  # of what runs nobody has told yet whether something stays of it
        state.kept[run.key] = run.store.keys


def look(state: State, found: Container[tuple[str, str]]) -> None:
    """Have processes forget what is over; to be called about once a second.

    Args:
        state: The service's.
        found: Maps (id, incarnation) that were seen to be open just now.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached.
    """
    asked = {key: one for key, one in state.kept.items() if (one.id, one.incarnation) not in found}
    if not asked:
        return
    with state.connection.pipeline(transaction=False) as pipe:
        for one in asked.values():
            pipe.hmget(one.hash, _FIELDS)
        replies = pipe.execute(raise_on_error=False)
    for (key, one), reply in zip(asked.items(), replies, strict=True):
        if not _is_open(one, reply):
            del state.kept[key]
            state.lanes.forget(key, at_once=True)


def _is_open(one: MapKeys, reply: object) -> bool:
    return isinstance(reply, list) and reply == [one.incarnation.encode(), b"open"]
