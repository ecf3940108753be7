"""What takes a limit off a map, or a lease, and tells it something else: without memory neither is done.

Redis and Valkey let a script go on that has written before. These do not: what holds here holds on every server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket

from taskq import MapJob, Queue
from taskq.errors import ServerError
from tests import jobs
from tests.simulation.server import FULL, GROWING


@contextmanager
def no_memory() -> Iterator[None]:
    """For the length of the block the server refuses all that may need some."""
    find = FakeSocket._name_to_func

    def refuse(self: Any, name: str) -> Any:
        if name in GROWING:
            raise SimpleError(FULL)
        return find(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeSocket, "_name_to_func", refuse)
        yield


def sealed(queue: Queue) -> tuple[MapJob[int], Callable[[], object]]:
    job = queue.open_map(jobs.square)
    return job, job.seal


def limited(queue: Queue) -> tuple[MapJob[int], Callable[[], object]]:
    job = queue.map(jobs.square, range(3), max_running=2)
    return job, lambda: job.limit(max_running=None, rate="5/s")


@pytest.mark.parametrize("made", [sealed, limited])
def test_nothing_is_done_by_half(
    fake_queue: Queue, made: Callable[[Queue], tuple[MapJob[int], Callable[[], object]]]
) -> None:
    job, act = made(fake_queue)
    key = job.store.keys.hash
    before = fake_queue.connection.hgetall(key)
    with no_memory(), pytest.raises(ServerError):
        act()
    now = fake_queue.connection.hgetall(key)
    assert {**now, b"lease": b""} == {**before, b"lease": b""}, "but for a lease that was renewed meanwhile"
    assert (b"lease" in now) == (b"lease" in before)
    act()
    assert fake_queue.connection.hgetall(key) != before
