"""What was submitted goes to the server: at once if it comes alone, else with all that has come meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from taskq.errors import PayloadError
from taskq.fronts.awaited import Awaited, Load
from taskq.fronts.outage import Outage, is_away
from taskq.maps.feed import Feed

_ARRIVES = 5.0  # seconds in which what is on its way arrives; longer only where the server is away
_TOGETHER = 2000  # items that are put with one call


class Outbox:
    """Sends loads, in the order in which they were added.

    Who adds one while nothing is on its way sends it, which saves the time to wake a thread; all else is done by a
    thread, so that nobody who submits waits for a server that is slow, or away.

    Args:
        feed: Of the map.
        awaited: Where items are entered before they are put, since they may end before that is known here.
        outage: Says how long a server that is away is waited for.
        on_trouble: Called with what ends it early.
        on_end: Called in the thread when all was sent, and no more will come.
    """

    def __init__(
        self, feed: Feed, awaited: Awaited, outage: Outage, on_trouble: Callable[[BaseException], None],
        on_end: Callable[[], None],
    ) -> None:  # fmt: skip
        self._feed, self._awaited, self._outage, self._on_trouble = feed, awaited, outage, on_trouble
        self._on_end = on_end
        self._loads: deque[Load] = deque()
        self._change = threading.Condition(awaited.lock)
        self._turn = threading.Lock()  # who sends
        self._unsaid = False  # what the feed has accepted is not on the server
        self.closed = False  # no more will come, unless somebody holds it open
        self._holds = 0  # who still has something to add
        self._at_once = False  # nor then
        self.ended = False

    def begin(self, name: str) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def add(self, load: Load) -> None:
        """Send this, in its turn."""
        with self._change:
            alone = not self._awaited and not self._loads and not self._unsaid
            self._loads.append(load)
            alone = alone and self._turn.acquire(blocking=False)
            if not alone:
                self._change.notify()
                return
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - the thread meets it again, and waits or gives up
            self._unsaid = True
            if not is_away(error):
                self._on_trouble(error)
            with self._change:
                self._change.notify()
        finally:
            self._turn.release()

    def withdraw(self, load: Load) -> bool:
        """Take back what was not sent yet; whether that was so. What is on its way arrives first."""
        if load.index is not None and self._turn.acquire(timeout=_ARRIVES):
            self._turn.release()
        with self._change:
            if load.index is None:
                load.withdrawn = True
            return load.withdrawn

    def withdraw_all(self) -> Iterator[Load]:
        """Take back all that was not sent yet."""
        with self._change:
            loads = [load for load in self._loads if not load.withdrawn]
            self._loads.clear()
        for load in loads:
            load.withdrawn = True
            yield load

    def hold(self) -> None:
        """Have it take more until ``release``, also if it is closed meanwhile."""
        with self._change:
            self._holds += 1

    def release(self) -> None:
        """As many times as ``hold``."""
        with self._change:
            self._holds -= 1
            self._change.notify()

    def close(self, *, at_once: bool = False) -> None:
        """No more will come; ``at_once``: nor from who holds it open."""
        with self._change:
            self.closed = True
            self._at_once = self._at_once or at_once
            self._change.notify()

    # -- in the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait():
                with self._turn:
                    self._outage.through(self._send)
            self._outage.through(self._on_end)
        except BaseException as error:  # noqa: BLE001 - all who wait are told
            self._on_trouble(error)
        self.ended = True
        self._awaited.some.set()

    def _wait(self) -> bool:
        """Until there is something to send; False if there is nothing, and no more will come."""
        with self._change:
            self._change.wait_for(lambda: self._loads or self._unsaid or self._is_through())
            return bool(self._loads or self._unsaid)

    def _is_through(self) -> bool:
        return self._at_once or (self.closed and not self._holds)

    def _send(self) -> None:
        """Send all there is; the turn must be held.

        Raises:
            redis.exceptions.RedisError, ServerError: If the server is away; then it is all sent the next time.
            MapError: If the map takes no more.
        """
        if self._unsaid:
            self._feed.flush()
            self._unsaid = False
        while loads := self._next():
            self._put(loads)

    def _next(self) -> list[Load]:
        """Some loads that come next; what fails puts back what was not sent of them."""
        with self._change:
            loads: list[Load] = []
            count = 0
            while self._loads and count < _TOGETHER:
                if loads and (loads[-1].alone or loads[-1].chunksize != self._loads[0].chunksize):
                    break
                if not (load := self._loads.popleft()).withdrawn:
                    self._awaited.add(load, self._feed.items + count)
                    loads.append(load)
                    count += len(load.items)
            return loads

    def _put(self, loads: list[Load]) -> None:
        first = self._feed.items
        try:
            items = [item for load in loads for item in load.items]
            self._feed.put(items, loads[0].chunksize, [key for load in loads for key in load.wanted])
        except PayloadError as error:
            self._put_back(loads, first, alone=True)
            if len(loads) == 1:
                self._refuse(error)
        except BaseException:
            self._put_back(loads, first)
            self._unsaid = True
            raise

    def _put_back(self, loads: list[Load], first: int, *, alone: bool = False) -> None:
        """Have what the feed has not accepted sent again, before all else; ``alone``: each load by itself."""
        taken = self._feed.items
        with self._change:
            left: list[Load] = []
            for load in loads:
                here = max(0, min(len(load.items), taken - first))
                self._awaited.drop(first + here, first + len(load.items))
                first += len(load.items)
                if here < len(load.items):
                    left.append(load.rest(here) if here else load)
                    left[-1].index, left[-1].alone = None, alone
            self._loads.extendleft(reversed(left))

    def _refuse(self, error: PayloadError) -> None:
        """The next load can't be sent: those who wait for it are told."""
        with self._change:
            load = self._loads.popleft()
        for position in range(len(load.items)):
            load.ticket.ended(load.first + position, None, error)
