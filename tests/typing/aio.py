"""What type checkers make of ``taskq.aio``; nothing here is run. See ``make types``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from taskq import Progress, Retry
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


def add(first: int, second: int, third: int) -> int:
    return first + second + third


async def pairs() -> AsyncIterator[tuple[str, int]]:
    yield "", 1


async def options(queue: Queue) -> None:
    job = await queue.map(
        halve, [1], chunksize=3, item_timeout=2, item_retry=Retry(2), first=3, memo="halves", key=str, rate="5/s",
        max_running=3, job_id="nightly", if_exists="attach", initializer=print, initargs=(), results="keep",
    )  # fmt: skip
    assert_type(await job.count(3.0, cancel_map=True), int)
    assert_type(await job.wait(timeout=None, cancel_map=False), bool)
    assert_type(await job.get(3, "raise", cancel_map=True), list[float])
    assert_type(await job.cancel(kill=True), None)
    assert_type(await job.progress(), Progress)
    assert_type(await (await queue.map(add, [1], [2], [3])), list[int])
    await queue.map(halve, [1], rate=5)  # type: ignore[call-overload]  # pyright: ignore
    await queue.map(halve, [1], item_retry=3)  # type: ignore[call-overload]  # pyright: ignore
    await queue.map(halve, [1], if_exists="return")  # type: ignore[call-overload]  # pyright: ignore
    await job.get(errors="ignore")  # type: ignore[call-overload]  # pyright: ignore
    await job.wait(cancel=True)  # type: ignore[call-arg]  # pyright: ignore
    await job.cancel(True)  # type: ignore[call-arg]  # pyright: ignore


async def of_open_maps(queue: Queue) -> None:
    opened = await queue.open_map(
        tell, star=True, buffersize=None, orphan="cancel", chunksize=2, job_id="fed", first=3, weight=2, ttl=60
    )
    assert_type(await opened.put(("a", 1)), int)
    assert_type(await opened.seal(), None)
    assert_type(opened.accepted, int)
    queue.open_map(halve, memo="a")  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(halve, orphan="seal")  # type: ignore[call-overload]  # pyright: ignore


async def lazy(queue: Queue) -> None:
    async with queue.imap(tell, pairs(), star=True, buffersize=3, chunksize=2, item_timeout=1, weight=2) as texts:
        assert_type(await anext(texts), str)
    assert_type(await anext(queue.imap_unordered(tell, [("a", 1)], star=True, item_retry=Retry(1))), str)
    assert_type(await anext(queue.imap("tasks:f", numbers())), Any)
    queue.imap(halve, ["a"])  # type: ignore[arg-type]  # pyright: ignore
    queue.imap(halve, [1], first=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.imap_unordered(halve, numbers(), buffersize="3")  # type: ignore[call-overload]  # pyright: ignore
    queue.imap_unordered(tell, numbers(), star=True)  # type: ignore[call-overload]  # pyright: ignore


async def plain(queue: Queue, values: Values[int]) -> None:
    assert_type(await queue.enqueue(halve, 1, job_timeout=3), Job[float])
    assert_type(await (await queue.enqueue(fetch, "a")), bytes)
    assert_type(await queue.fetch_job("a"), MapJob[Any] | Job[Any] | None)
    assert_type(values.position, int)
