"""``taskq.aio`` on both kinds of Redis: what is awaited, iterated over and given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

import taskq.testing
from taskq import (
    JobFailedError,
    MapCanceledError,
    OptionError,
    PickleError,
    Queue,
    UnsendableError,
    WaitTimeoutError,
    aio,
)
from taskq.aio.source import batches
from taskq.testing import drain
from tests import jobs
from tests.waiting import BRIEF, HANGS


def on(queue: Queue, program: Callable[[aio.Queue], Awaitable[Any]]) -> Any:
    """What this does with a queue, on a loop of its own."""

    async def run() -> Any:
        async with asyncio.timeout(HANGS), aio.Queue(queue=queue) as own:
            return await program(own)

    return asyncio.run(run())


async def given(*items: Any, error: Exception | None = None) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item
    if error is not None:
        raise error


async def told(values: AsyncIterator[Any]) -> list[Any]:
    """All that it gives, and the kinds of what it raises."""
    found: list[Any] = []
    while True:
        try:
            found.append(await anext(values))
        except StopAsyncIteration:
            return found
        except Exception as error:  # noqa: BLE001 - that is what is told
            found.append(type(error).__name__)
        assert len(found) < 100, "it does not end"


def test_what_cannot_travel_is_named_before_anything_is_written(fake_queue: Queue) -> None:
    lock = threading.Lock()

    async def program(queue: aio.Queue) -> None:
        with pytest.raises(UnsendableError, match=r"argument 'b'.held\[0\] of tests.jobs.add \(lock\)"):
            await queue.enqueue(jobs.add, 1, b=jobs.Holder([lock]))
        with pytest.raises(PickleError, match=r"item 1.held\['a'\] \(lock\)"):
            await queue.map(jobs.echo, [1, jobs.Holder({"a": lock})])
        with open(__file__) as file, pytest.raises(PickleError, match=r"item 0\[0\] \(TextIOWrapper\)"):  # noqa: ASYNC230, PTH123
            await queue.map(jobs.echo, [[file]])
        assert not fake_queue.connection.dbsize()
        async with queue.open_map(jobs.echo) as job:
            with pytest.raises(PickleError, match=r"item 0.held \(lock\)"):
                await job.put(jobs.Holder(lock))
            assert job.accepted == job.sync.store.info().items == 0

    on(fake_queue, program)


def test_a_map_is_awaited_and_iterated_over(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.square, range(7), chunksize=2)
        drain(any_queue)
        assert await job == [n * n for n in range(7)]
        assert [value async for value in job] == await job
        assert [value async for value in job.in_order(start=5)] == [25, 36]
        assert dict([pair async for pair in job.results_by_index()])[4] == 16
        assert await job.count() == 7
        assert await job.ready()
        assert await job.wait(0)
        assert (await job.progress()).done == 7
        found = await queue.fetch_job(job.id)
        assert isinstance(found, aio.MapJob)
        assert await found == await job
        await job.delete()
        assert await queue.fetch_job(job.id) is None

    on(any_queue, program)


def test_errors_of_items(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.fail_odd, range(4), chunksize=1)
        drain(any_queue)
        with pytest.raises(ValueError, match="1 is odd"):
            await job
        with pytest.raises(ValueError, match="1 is odd"):
            await job.count()
        results = await job.get(errors="return")
        assert [type(one) for one in results] == [int, ValueError, int, ValueError]
        assert await told(job.in_order()) == [0, "ValueError", 2, "ValueError"]
        assert sorted(map(str, await told(job.as_completed()))) == ["0", "2", "ValueError", "ValueError"]

    on(any_queue, program)


def test_items_of_an_async_for(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.square, given(*range(50)))
        await job.fed()
        drain(any_queue)
        assert await job == [n * n for n in range(50)]

    on(any_queue, program)


def test_an_async_for_that_raises_cancels_its_map(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> str:
        job = await queue.map(jobs.square, given(1, error=KeyError("gone")))
        with pytest.raises(KeyError):
            await job
        with pytest.raises(KeyError):
            await told_or_raise(job)
        return job.id

    job = any_queue.fetch_job(on(any_queue, program))
    with pytest.raises(MapCanceledError):
        job.get(HANGS)


async def told_or_raise(job: aio.MapJob[Any]) -> None:
    async for _ in job:
        pass


def test_that_it_raised_is_not_lost_if_nobody_awaits_the_map(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        await queue.map(jobs.square, given(1, error=KeyError("gone")))

    with pytest.raises(KeyError):
        on(any_queue, program)


def test_leaving_by_an_error_cancels_what_an_async_for_gives(any_queue: Queue) -> None:
    ids = []

    async def endless() -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(BRIEF)
            yield 1

    async def program(queue: aio.Queue) -> None:
        ids.append((await queue.map(jobs.square, endless())).id)
        raise LookupError

    with pytest.raises(LookupError):
        on(any_queue, program)
    with pytest.raises(MapCanceledError):
        any_queue.fetch_job(ids[0]).get(HANGS)


def test_an_open_map(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        async with queue.open_map(jobs.square, buffersize=100) as job:
            assert [await job.put(n) for n in range(3)] == [0, 1, 2]
            assert await job.put_many(given(3, 4)) == range(3, 5)
            assert await job.put_many([5]) == range(5, 6)
        assert job.accepted == 6
        drain(any_queue)
        assert await job == [n * n for n in range(6)]
        entered = await queue.open_map(jobs.square)
        with pytest.raises(LookupError):
            async with entered:
                raise LookupError
        with pytest.raises(MapCanceledError):
            await entered

    on(any_queue, program)


def test_cancellation_ends_the_wait_and_not_the_map(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.square, range(3))
        waits = asyncio.create_task(job.get())
        reads = asyncio.create_task(told_or_raise(job))
        await asyncio.sleep(BRIEF)
        for task in (waits, reads):
            task.cancel()
        await asyncio.wait([waits, reads])
        assert waits.cancelled()
        assert reads.cancelled()
        with pytest.raises(WaitTimeoutError, match="has not ended within"):
            await job.get(BRIEF)
        assert not await job.wait(BRIEF)
        drain(any_queue)
        assert await job == [0, 1, 4]

    on(any_queue, program)


def test_cancellation_ends_the_map_if_asked(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.square, range(3))
        with suppress(TimeoutError):
            await asyncio.wait_for(job.get(cancel_map=True), BRIEF)
        with pytest.raises(MapCanceledError):
            await job

    on(any_queue, program)


def test_a_push_that_is_cancelled_leaves_nothing(any_queue: Queue) -> None:
    asked = asyncio.Event()

    def items(loop: Any) -> Any:
        for n in range(3):
            loop.call_soon_threadsafe(asked.set)
            yield n

    async def program(queue: aio.Queue) -> None:
        push = asyncio.create_task(queue.map(jobs.square, items(asyncio.get_running_loop())))
        await asked.wait()
        push.cancel()
        await asyncio.wait([push])
        await queue._link.hands.push(lambda: None)  # behind it

    on(any_queue, program)
    assert not [key for key in any_queue.connection.keys("taskq:{*") if b":" in key.partition(b"}")[2]]
    assert not any_queue.connection.keys("rq:job:*")


def test_nothing_that_came_is_lost_by_a_task_that_was_cancelled(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        job = await queue.map(jobs.square, range(40), chunksize=1)
        values, found = job.in_order(), []
        drain(any_queue)
        while True:
            one = asyncio.ensure_future(anext(values, None))
            await asyncio.sleep(0)
            one.cancel()
            value = None
            with suppress(asyncio.CancelledError):  # it may have had one at once
                value = await one
            if value is None and (value := await anext(values, None)) is None:
                break
            found.append(value)
            assert values.position == len(found)
        assert found == [n * n for n in range(40)]

    on(any_queue, program)


def test_plain_jobs(any_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        good = await queue.enqueue(jobs.add, 1, b=2)
        bad = await queue.enqueue(jobs.fail_odd, 3)
        nothing = await queue.enqueue(jobs.echo, None)
        gone = await queue.enqueue(jobs.square, 1)
        off = await queue.enqueue(jobs.square, 1)
        assert not await good.ready()
        with pytest.raises(WaitTimeoutError):
            await good.get(BRIEF)
        await off.cancel()
        await gone.delete()
        drain(any_queue)
        assert await asyncio.gather(good, nothing) == [3, None]
        with pytest.raises(JobFailedError, match="3 is odd") as caught:
            await bad
        assert "fail_odd" in str(caught.value.__cause__)
        with pytest.raises(JobFailedError, match="was cancelled"):
            await off
        with pytest.raises(JobFailedError, match="nothing is known"):
            await gone
        found = await queue.fetch_job(good.id)
        assert isinstance(found, aio.Job)
        assert await found == 3

    on(any_queue, program)


def test_what_is_refused(fake_queue: Queue) -> None:
    async def program(queue: aio.Queue) -> None:
        with pytest.raises(PickleError):
            await queue.map(jobs.square, [threading.Lock()])
        with pytest.raises(OptionError, match="come alone"):
            await queue.map(jobs.add, given(1), [2])
        with pytest.raises(OptionError, match="no option if_exists"):
            await queue.map(jobs.square, given(1), if_exists="attach")
        with pytest.raises(OptionError, match="buffersize"):
            queue.imap(jobs.square, given(1), buffersize=0)
        with pytest.raises(OptionError, match="no option rate"):
            queue.imap(jobs.square, given(1), rate="1/s")
        with pytest.raises(OptionError, match="must be iterable"):
            queue.imap(jobs.square, 5)
        with pytest.raises(OptionError, match="in use already"):
            await queue.__aenter__()
        job = await queue.map(jobs.square, [1])
        with pytest.raises(OptionError, match="errors must be"):
            await job.get(errors="ignore")
        await job.cancel()

    on(fake_queue, program)
    with pytest.raises(OptionError, match="is used within"):
        aio.Queue(queue=fake_queue).imap(jobs.square, [1])
    with pytest.raises(OptionError, match="either a queue"):
        aio.Queue("other", queue=fake_queue)
    with pytest.raises(OptionError, match=r"must be a taskq\.Queue"):
        aio.Queue(queue=fake_queue.connection)
    with pytest.raises(OptionError, match="did you mean"):
        aio.Queue(urls="redis://localhost")
    assert fake_queue.keeps_leases  # it is the caller's, and as it was


def test_items_are_read_in_batches_of_what_has_come() -> None:
    read = []

    async def source() -> AsyncIterator[int]:
        try:
            for n in range(10):
                if n in (4, 9):
                    await asyncio.sleep(BRIEF)
                read.append(n)
                yield n
        finally:
            read.append("closed")

    async def room() -> int:
        return 3

    async def program(queue: aio.Queue) -> None:
        hands: Any = queue._link.hands
        assert [one async for one in batches(source(), hands, room)] == [[0, 1, 2], [3], [4, 5, 6], [7, 8], [9]]
        assert read[-1] == "closed"
        assert [one async for one in batches(range(5), hands, room)] == [[0, 1, 2], [3, 4]]
        for raises in (given(1, 2, error=KeyError()), map(jobs.invert, [1, 2, 0])):
            batch = batches(raises, hands)
            first = await anext(batch)
            rest = await told(batch)
            assert len(first) + sum(len(one) for one in rest[:-1]) == 2
            assert rest[-1] in ("KeyError", "ZeroDivisionError")

    on(taskq.testing.make_fake_queue(), program)
