"""A generator that fills one list anew for each item: each item is what the list held when it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from taskq import Pool, Queue, aio
from taskq.testing import running_worker

N = 200
WANTED = [2 * n for n in range(N)]


def refilled() -> Iterator[list[int]]:
    row = [0, 0]
    for n in range(N):
        row[:] = [n, n]
        yield row


async def refilled_as_awaited() -> AsyncIterator[list[int]]:
    for row in refilled():
        yield row


def _put(queue: Queue) -> list[int]:
    with queue.open_map(sum, chunksize=10) as job:
        job.put_many(refilled())
    return job.get()


def _in_pool(queue: Queue) -> list[int]:
    with Pool(queue=queue) as pool:
        return list(pool.imap(sum, refilled(), chunksize=10))


def _awaited(queue: Queue) -> list[int]:
    async def run() -> list[int]:
        async with aio.Queue(queue=queue) as own:
            job = await own.map(sum, refilled_as_awaited())
            return await job

    return asyncio.run(run())


def _lazily_awaited(queue: Queue) -> list[int]:
    async def run() -> list[int]:
        async with aio.Queue(queue=queue) as own:
            return [value async for value in own.imap(sum, refilled())]

    return asyncio.run(run())


WAYS: dict[str, Callable[[Queue], list[int]]] = {
    "map": lambda queue: queue.map(sum, refilled()).get(),
    "map in large chunks": lambda queue: queue.map(sum, refilled(), chunksize=50).get(),
    "map of two iterables": lambda queue: [
        n for n, _ in queue.map(lambda row, n: (sum(row), n), refilled(), range(N), chunksize=50).get()
    ],
    "imap": lambda queue: list(queue.imap(sum, refilled())),
    "memo": lambda queue: queue.map(sum, refilled(), memo="sums").get(),
    "put_many": _put,
    "Pool.imap": _in_pool,
    "aio map": _awaited,
    "aio imap": _lazily_awaited,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_item_is_as_it_was_given(real_queue: Queue, way: str) -> None:
    with running_worker(real_queue):
        assert WAYS[way](real_queue) == WANTED
