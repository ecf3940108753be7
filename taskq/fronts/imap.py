"""``Pool.imap``: an iterator over results, while a thread reads the items, some way ahead and no further."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

from taskq.errors import BrokenFrontError, MapError
from taskq.fronts.asked import PoolTimeoutError
from taskq.maps.settled import settled

T = TypeVar("T")


class Flow:
    """Items on their way out, results on their way in.

    Args:
        submit: Has items run: given some, and their position. It raises ``BrokenFrontError`` or ``MapError`` if
            nothing more can be run, and anything else if these can't be sent.
        iterable: Read in a thread.
        chunksize: Items that are submitted together; of an unfinished chunk nothing is, if the iterable raises.
        buffersize: Items that may have been read, and whose results are not taken.
        in_order: Of the items; else as they come.
    """

    def __init__(
        self, submit: Callable[[list[Any], int, Flow], None], iterable: Iterable[Any], chunksize: int,
        buffersize: int, *, in_order: bool,
    ) -> None:  # fmt: skip
        self._submit, self._size, self._room, self._in_order = submit, chunksize, buffersize, in_order
        self._change = threading.Condition()
        self._came: dict[int, tuple[Any, BaseException | None]] = {}
        self._order: deque[int] = deque()  # positions as they came
        self._read = self._taken = 0
        self._whole = self._stopped = self._hurries = False
        self._items = settled(iterable)  # what this raises, the caller hears

    def begin(self, over: Callable[[], object]) -> Self:
        """Read the items in a thread, which calls this when it submits nothing more."""

        def run() -> None:
            try:
                self._read_all(self._items)
            finally:
                over()

        threading.Thread(target=run, name="taskq imap reads", daemon=True).start()
        return self

    def _read_all(self, items: Iterator[Any]) -> None:
        try:
            while chunk := list(itertools.islice(items, self._size)):
                with self._change:
                    first = self._read
                    self._read += len(chunk)
                if not self._send(chunk, first):
                    break
                del chunk
                with self._change:
                    self._change.wait_for(self._has_room)
                    if self._stopped:
                        break
        except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
            self._fail(error)
        with self._change:
            self._whole = True
            self._change.notify_all()

    def _has_room(self) -> bool:
        return self._stopped or self._hurries or self._read - self._taken < self._room

    def _send(self, items: list[Any], first: int) -> bool:
        """Have them run; what can't be sent ends with the reason. Whether more can be run."""
        try:
            self._submit(items, first, self)
        except (BrokenFrontError, MapError) as error:
            for position in range(first, first + len(items)):
                self.ended(position, None, error)
            return False
        except Exception as error:  # noqa: BLE001 - what is submitted may raise anything when it is pickled
            if len(items) == 1:
                self.ended(first, None, error)
                return True
            sent = [self._send([item], position) for position, item in enumerate(items, first)]
            return all(sent)
        return True

    def _fail(self, error: BaseException) -> None:
        with self._change:
            position, self._read = self._read, self._read + 1
        self.ended(position, None, error)

    def ended(self, position: int, value: Any, error: BaseException | None) -> None:
        """As a ticket."""
        with self._change:
            if not self._stopped:
                self._came[position] = value, error
                self._order.append(position)
                self._change.notify_all()

    def next(self, timeout: float | None) -> tuple[Any, BaseException | None]:
        """The next result, or what to raise in its place; StopIteration at the end.

        Raises:
            PoolTimeoutError: If it is not there in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while not self._has_next():
                if self._whole and self._taken == self._read:
                    return None, StopIteration()
                if not self._change.wait(None if deadline is None else deadline - time.monotonic()):
                    raise PoolTimeoutError(f"the next result is not there after {timeout} s; it is still to come")
            position = self._taken if self._in_order else self._order.popleft()
            self._taken += 1
            self._change.notify_all()
            return self._came.pop(position)

    def _has_next(self) -> bool:
        return self._taken in self._came if self._in_order else bool(self._order)

    def hurry(self) -> None:
        """Read all there is, however much of it was taken: somebody waits until all has ended."""
        with self._change:
            self._hurries = True
            self._change.notify_all()

    def stop(self) -> None:
        """Nobody takes any more."""
        with self._change:
            self._stopped = True
            self._came.clear()
            self._change.notify_all()


class Results(Generic[T]):
    """The iterator: ``multiprocessing.pool.IMapIterator``. It is collected as garbage when nobody wants more."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        weakref.finalize(self, flow.stop).atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next result.

        Raises:
            StopIteration: At the end.
            PoolTimeoutError: If it is not there in time (seconds); a ``multiprocessing.TimeoutError``.
            Exception: What its item has raised, or the iterable.
        """
        value, error = self._flow.next(timeout)
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]
