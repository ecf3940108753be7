"""What stands in Redis may be anything; garbage costs the job to which it belongs, never the service.

An error is either the server's (it is away, without memory, read-only ...), and then the same is said again later;
or it is *damage*: a key of another type, a number that is none, a hash that is no job's, a value that can't be
sent. Saying the same again would give the same answer for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import keys
from taskq.redis.patience import says_state

log = logging.getLogger(__name__)

_AHEAD = 86_400.0  # seconds: no clock is wrong by more

_TYPES = {
    keys.LEASES: b"zset",
    keys.MAPS: b"zset",
    keys.SERVICES: b"hash",
    keys.REFUSED: b"hash",
    keys.ACTIVITY: b"hash",
    keys.METRICS: b"hash",
    keys.TIMELINE: b"stream",
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


def mend(connection: Any) -> bool:
    """Delete those keys which all services share and which can't be worked with; whether there was one.

    They are of a wrong type, or a timeline whose last entry is of a time to come, so that none can be added. All
    of them come back by themselves: leases and the register with the next renewals.
    """
    with connection.pipeline(transaction=False) as pipe:
        for key in _TYPES:
            pipe.type(key)
        kinds = pipe.execute()
    found = dict(zip(_TYPES, kinds, strict=True))
    wrong = [key for key, kind in found.items() if kind not in (_TYPES[key], b"none")]
    if found[keys.TIMELINE] == b"stream" and _is_ahead(connection):
        wrong.append(keys.TIMELINE)
    for key in wrong:
        log.error("%s can't be worked with, and is deleted", key, extra={"action": "damage"})
        connection.delete(key)
    return bool(wrong)


def _is_ahead(connection: Any) -> bool:
    last = connection.xinfo_stream(keys.TIMELINE)["last-generated-id"]
    return int(bytes(last).partition(b"-")[0]) > (time.time() + _AHEAD) * 1000
