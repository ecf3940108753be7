"""Whatever an item does, when it is read, when it runs or afterwards: it costs itself."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from taskq import ItemTimeoutError, Queue, WorkerLostError
from taskq.testing import running_worker
from tests.waiting import HANGS

SETTINGS = [f"text {n}" for n in range(500)]
N, BAD = 40, 3


def of_a_script() -> type:
    """A class that goes by value."""

    class Item:
        def __init__(self, n: int, act: Callable[[], object]) -> None:
            self.n, self.act = n, act

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__dict__ = state
            if self.n == BAD:
                self.act()

    return Item


class Sharing:
    """One that can be imported, whose items have much in common."""

    def __init__(self, n: int, act: Callable[[], object]) -> None:
        self.n, self.act, self.settings = n, act, SETTINGS

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        if self.n == BAD:
            self.act()


def fail() -> None:
    raise ValueError("not to be read")


def end() -> None:
    os._exit(3)


def hang() -> None:
    time.sleep(3600)


def number_of(item: Any) -> int:
    return int(item.n)


CLASSES = {"by value": of_a_script, "sharing": lambda: Sharing}


@pytest.mark.parametrize(("act", "kind"), [(fail, ValueError), (end, WorkerLostError), (hang, ItemTimeoutError)])
@pytest.mark.parametrize(("cls", "chunksize"), [("by value", 8), ("by value", None), ("sharing", None)])
def test_when_it_is_read(
    fake_queue: Queue, cls: str, act: Callable[[], object], kind: type[Exception], chunksize: int | None
) -> None:
    made = CLASSES[cls]()
    with running_worker(fake_queue, processes=1):
        job = fake_queue.map(
            number_of,
            [made(n, act) for n in range(N)],
            chunksize=chunksize,
            item_timeout=1 if act is hang else None,
        )
        found = job.get(timeout=HANGS, errors="return")
    assert isinstance(found.pop(BAD), kind)
    assert found == [n for n in range(N) if n != BAD]


def leave_without_files(n: int) -> int:
    """Leaves a thread for which Python would wait, and a process that can't answer."""
    if n == BAD:
        threading.Thread(target=time.sleep, args=(3600,)).start()
        os.closerange(3, 1024)
    return n


@pytest.mark.parametrize("chunksize", [1, 4])
def test_when_it_breaks_its_process(fake_queue: Queue, chunksize: int) -> None:
    with running_worker(fake_queue):
        found = fake_queue.map(leave_without_files, range(8), chunksize=chunksize).get(
            timeout=HANGS, errors="return"
        )
        assert isinstance(found.pop(BAD), WorkerLostError)
        assert found == [n for n in range(8) if n != BAD]


class Dead:
    """In the place of a stream."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        time.sleep(3600)


def leave_a_dead_stream(n: int) -> int:
    sys.stdout = sys.stderr = Dead()  # type: ignore[assignment]
    return n


def test_when_it_leaves_a_stream_that_hangs(fake_queue: Queue) -> None:
    with running_worker(fake_queue, processes=1):
        assert fake_queue.map(leave_a_dead_stream, range(8)).get(timeout=HANGS) == [*range(8)]
        assert fake_queue.enqueue(leave_a_dead_stream, 1).latest_result(timeout=HANGS) is not None
