"""The dispatcher's inbox, and the turn: the right to act on what has come, which one thread has at any moment.

As a rule the dispatcher's own thread has it, and lets go of it while it waits. Then whoever brings an event may
act on it at once: to wake another thread, and to wait for the interpreter's lock, takes about as long as all there
is to do about a job that comes by itself.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from taskq_workers.service.core.events import Event


class Inbox:
    """Events in the order in which they came."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._act: Callable[[Event], bool] | None = None

    def put(self, event: Event) -> None:
        """Leave an event for the dispatcher's thread, and wake it."""
        self._events.append(event)
        self._bell.put(None)

    def hand(self, event: Event) -> None:
        """Act on it here and now, if nobody acts, nothing waits and it is a matter for that; else leave it."""
        if not self._events and self._turn.acquire(blocking=False):
            try:
                if not self._events and self._act is not None and self._act(event):
                    return
            finally:
                self._turn.release()
        self.put(event)

    # -- for the dispatcher ----------------------------------------------------------------------------

    def open(self, act: Callable[[Event], bool]) -> None:
        """Begin, with the turn.

        Args:
            act: Called by other threads while they have it, of which it must make no end; whether it was done.
        """
        self._turn.acquire()
        self._act = act

    def wait(self, timeout: float) -> list[Event]:
        """Let others have the turn until something comes, or for so many seconds; all that has come.

        The thread that owns the service's state by then keeps it no longer than Redis may take to answer, or to be
        found away.
        """
        self._turn.release()
        try:
            self._bell.get(timeout=timeout)
        except queue.Empty:
            pass
        finally:
            self._turn.acquire()
        return self.take()

    def take(self) -> list[Event]:
        """All that has come."""
        while not self._bell.empty():  # before the events: what comes now rings once too often, and not too rarely
            self._bell.get_nowait()
        taken: list[Event] = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def ring(self) -> None:
        """Have the dispatcher's thread look how long it may wait."""
        self._bell.put(None)
