"""What becomes of a turn that fails: nothing is forgotten, and the next one goes more carefully."""

from __future__ import annotations

import logging
from contextlib import suppress

from redis.exceptions import RedisError

from taskq.redis.urls import by_sentinel_of
from taskq_workers.link.tray import let_go
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import feeding
from taskq_workers.service.jobs.fetching import Fetching
from taskq_workers.service.upkeep.membership import Membership

log = logging.getLogger(__name__)

_STUMBLES = 5  # turns in a row that may meet damage which is not in Redis
_BACK_OFF = (0.05, 2.0)  # seconds: first and longest pause while Redis is away
_FOLLOWS = 0.25  # seconds: longest pause where sentinels tell when there is another server; to ask them is cheap
_MOST_SAID = 500  # characters of why
_FAILING = 3  # turns in a row that fail, after which the service is said not to be well


class Setbacks:
    """Counts them, and acts on each.

    Args:
        state: The service's.
        fetching: Paused while Redis is away.
        membership: Mends the service's records where they are what is damaged.
    """

    def __init__(self, state: State, fetching: Fetching, membership: Membership) -> None:
        self._state = state
        self._fetching = fetching
        self._membership = membership
        self._longest = _FOLLOWS if by_sentinel_of(state.connection.connection_pool) else _BACK_OFF[1]
        self.pause = 0.0  # seconds until the next turn, while Redis is away
        self._stumbles = 0  # turns in a row that met damage
        self._failed = 0  # turns in a row that failed, for whatever reason

    def none(self) -> None:
        """A turn went well."""
        self.pause, self._stumbles, self._failed = 0.0, 0, 0
        self._state.failing = ""
        self._state.speech.went_well()

    def redis(self, error: Exception) -> None:
        """The server failed: keep everything, wait a little longer each time, and try again."""
        self._note(error)
        self._fetching.pause()
        self._state.unsure = True
        self._state.meter.count("taskq_redis_errors")
        self.pause = min(max(self.pause * 2, _BACK_OFF[0]), self._longest)
        with suppress(RedisError):  # but for suspects, of which Redis must be told first
            feeding.top_up(self._state)  # what is in hand can be run
        log.warning("Redis: %s; next try in %.2f s", error, self.pause, extra={"action": "redis_failed"})

    def damage(self, error: Exception) -> None:
        """What was met belongs to no job that could pay for it: go on with the others, if that is possible.

        Raises:
            Exception: The error itself, if it comes again and again and is not in Redis.
        """
        self._stumbles += 1
        if self._stumbles > _STUMBLES and not isinstance(error, RedisError):
            raise error  # it is in what we know, and a service that begins anew knows nothing
        log.error("a turn met damage; the next one goes on", exc_info=error, extra={"action": "damage"})
        self._note(error)
        self._state.unsure, self.pause = True, _BACK_OFF[1]
        with suppress(RedisError):
            self._membership.mend()

    def _note(self, error: Exception) -> None:
        """Have each thing be said alone in the next turn, in case that one of them is what can't be said."""
        let_go(error)
        self._failed += 1
        self._state.speech.apart = True
        if self._failed >= _FAILING:
            self._state.failing = f"its turns keep failing: {type(error).__name__}: {error}"[:_MOST_SAID]
