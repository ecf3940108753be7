"""What stands in Redis may be anything; garbage costs the job to which it belongs, never the service.

An error is either the server's (it is away, without memory, read-only ...), and then the same is said again later;
or it is *damage*: a key of another type, a number that is none, a hash that is no job's. Saying the same again
would give the same answer for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import keys
from taskq.redis.patience import says_damage

log = logging.getLogger(__name__)

_TYPES = {
    keys.LEASES: b"zset",
    keys.MAPS: b"zset",
    keys.SERVICES: b"hash",
    keys.REFUSED: b"hash",
    keys.TIMELINE: b"stream",
}


def is_damage(error: BaseException) -> bool:
    """Whether it is of no use to try again."""
    return says_damage(error) if isinstance(error, RedisError) else isinstance(error, Exception)


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
    """Delete those keys which all services share and which are of a wrong type; whether there was one.

    All of them come back by themselves: leases and the register with the next renewals.
    """
    with connection.pipeline(transaction=False) as pipe:
        for key in _TYPES:
            pipe.type(key)
        kinds = pipe.execute()
    wrong = [key for key, kind in zip(_TYPES, kinds, strict=True) if kind not in (_TYPES[key], b"none")]
    for key in wrong:
        log.error("%s was no %s, and is deleted", key, _TYPES[key].decode(), extra={"action": "damage"})
        connection.delete(key)
    return bool(wrong)
