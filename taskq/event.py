"""An event in Redis: what ``multiprocessing.Manager().Event()`` is to the processes of one program."""

from __future__ import annotations

from typing import Any

from taskq.redis import pacing
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors


class Event(Named):
    """A flag that all programs and jobs of one Redis can set, and wait for.

        ready = queue.event("ready")
        ready.wait(10)

    May be passed to jobs as an argument; there it connects to the worker's server when first used.

    Args:
        key: The Redis key, which is there while the event is set.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.

    Every access raises ``ServerError`` if the server can't be reached, or refuses. Not guaranteed: that who waits
    sees an event which is cleared again within a moment.
    """

    @clear_errors
    def set(self) -> None:
        """Set it: who waits goes on."""
        self.connection.set(self.key, 1)

    @clear_errors
    def clear(self) -> None:
        """Have it be not set."""
        self.connection.delete(self.key)

    @clear_errors
    def is_set(self) -> bool:
        """Whether it is set."""
        return bool(self.connection.exists(self.key))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, and return whether it is. The server is asked up to 20 times a second.

        Args:
            timeout: Seconds to wait, none if it is below 0; None: for ever.
        """
        return any(self.is_set() for _try in pacing.tries(timeout))

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, (self.key,)

    def __repr__(self) -> str:
        return f"<taskq.Event {self.key!r}>"
