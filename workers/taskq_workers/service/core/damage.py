"""What stands in Redis may be anything; garbage costs the job to which it belongs, never the service.

An error is either the server's (it is away, without memory, read-only ...), and then the same is said again later;
or it is *damage*: a key of another type, a number that is none, a hash that is no job's, a value that can't be
sent. Saying the same again would give the same answer for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import keys
from taskq.redis.lua import Scripts
from taskq.redis.patience import says_state

log = logging.getLogger(__name__)

_AHEAD = 86_400  # seconds: no clock is wrong by more

_TYPES = {
    keys.TIMELINE: "stream",
    keys.LEASES: "zset",
    keys.MAPS: "zset",
    keys.SERVICES: "hash",
    keys.REFUSED: "hash",
    keys.ACTIVITY: "hash",
    keys.METRICS: "hash",
}


def is_damage(error: BaseException) -> bool:
    """Whether it is of no use to try again: neither the server's state nor the way there is to blame."""
    return not says_state(error) if isinstance(error, RedisError) else isinstance(error, Exception)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Log damage that the body meets, and go on after it; the server's errors are raised."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        log.error("%s: %s: %s", what, type(error).__name__, error, extra={"action": "damage"})


def raise_others(replies: list[Any], what: str) -> None:
    """Log the damage among the replies of a pipeline, and raise what else went wrong."""
    for reply in replies:
        if isinstance(reply, Exception):
            with contained(what):
                raise reply


def mend(scripts: Scripts) -> bool:
    """Delete those keys which all services share and which can't be worked with; whether there was one.

    They are of a wrong type, or a timeline whose last entry is of a time to come, so that none can be added. All
    of them come back by themselves: leases and the register with the next renewals. It is the server that looks
    and decides (mend.lua): what a service has got wrong, such as a type or the time, must cost nobody else his.
    """
    deleted = scripts.mend(list(_TYPES), [*_TYPES.values(), _AHEAD])
    for key in deleted:
        log.error("%s can't be worked with, and is deleted", key.decode(), extra={"action": "damage"})
    return bool(deleted)
