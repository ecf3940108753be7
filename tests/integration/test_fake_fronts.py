"""``taskq.testing.Pool`` and ``Executor``: what users' tests give to code that is given a pool."""

from __future__ import annotations

import multiprocessing.pool
import threading

import pytest

from taskq import testing
from tests import jobs
from tests.waiting import HANGS


def workers() -> list[str]:
    return [one.name for one in threading.enumerate() if "-test-" in one.name]


def test_an_executor() -> None:
    with testing.Executor(1) as executor:
        assert list(executor.map(jobs.add, [1, 2], [3, 4])) == [4, 6]
        assert workers()
        with pytest.raises(ZeroDivisionError):
            executor.submit(jobs.invert, 0).result(HANGS)
    assert not workers()


def test_a_pool() -> None:
    with testing.Pool(1) as pool:
        assert pool.map(jobs.square, range(5)) == [0, 1, 4, 9, 16]
        with pytest.raises(ZeroDivisionError) as caught:
            pool.apply(jobs.invert, (0,))
        assert type(caught.value.__cause__) is multiprocessing.pool.RemoteTraceback
    pool.join()
    assert not workers()
