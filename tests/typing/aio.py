"""What type checkers make of ``taskq.aio``; nothing here is run. See ``make types``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from taskq.aio import Job, MapJob, OpenMap, Queue, Values


def halve(number: int) -> float:
    return number / 2


def tell(text: str, times: int) -> str:
    return text * times


async def fetch(url: str) -> bytes:
    return url.encode()


async def numbers() -> AsyncIterator[int]:
    yield 1


async def texts() -> AsyncIterator[str]:
    yield ""


async def maps(queue: Queue) -> None:
    job = await queue.map(halve, range(3))
    assert_type(job, MapJob[float])
    assert_type(await job, list[float])
    assert_type(await job.get(5), list[float])
    assert_type(await job.get(errors="return"), list[float | BaseException])
    async for value in job:
        assert_type(value, float)
    async for pair in job.results_by_index():
        assert_type(pair, tuple[int, float])
    assert_type(await anext(job.in_order(errors="return")), float | BaseException)
    assert_type(await (await queue.map(fetch, ["a"])), list[bytes])
    assert_type(await (await queue.map(halve, numbers())), list[float])
    assert_type(await (await queue.map(tell, "ab", range(2))), list[str])
    assert_type(await queue.map("tasks:halve", [1]), MapJob[Any])
    await queue.map(halve, ["a"])  # type: ignore[arg-type]  # pyright: ignore
    await queue.map(halve, texts())  # type: ignore[arg-type]  # pyright: ignore
    await queue.map(halve, [1], chunk_size=3)  # type: ignore[call-overload]  # pyright: ignore


async def open_maps(queue: Queue) -> None:
    async with queue.open_map(halve, buffersize=3) as job:
        assert_type(job, OpenMap[int, float])
        assert_type(await job.put(1), int)
        assert_type(await job.put_many(numbers()), range)
        await job.put("a")  # type: ignore[arg-type]  # pyright: ignore
    assert_type(await job, list[float])
    assert_type(await queue.open_map(fetch), OpenMap[str, bytes])
    async for value in queue.imap(halve, numbers(), buffersize=3):
        assert_type(value, float)
    assert_type(await anext(queue.imap_unordered(fetch, [""])), bytes)


async def plain(queue: Queue, values: Values[int]) -> None:
    assert_type(await queue.enqueue(halve, 1, job_timeout=3), Job[float])
    assert_type(await (await queue.enqueue(fetch, "a")), bytes)
    assert_type(await queue.fetch_job("a"), MapJob[Any] | Job[Any] | None)
    assert_type(values.position, int)
