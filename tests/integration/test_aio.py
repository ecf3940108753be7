"""``taskq.aio`` with real workers: many tasks wait with few threads and connections, and hear of outages."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection as Connection

from taskq import MapCanceledError, Queue, aio
from taskq.redis.connection import connect
from taskq.testing import running_worker
from tests import jobs
from tests.integration.fronts import left, working_queue
from tests.waiting import BRIEF, HANGS, wait_until


@pytest.fixture(scope="module")
def queue(server_url: str) -> Iterator[Queue]:
    with working_queue(server_url, "aio") as queue:
        yield queue


def run(program: Any) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(HANGS):
            return await program

    return asyncio.run(within())


class Counted:
    """How many threads this program has, besides those there were, and clients of this name a server, at most."""

    NAME = "counted"

    def __init__(self, queue: Queue) -> None:
        self._server, self._before = queue.connection, set(threading.enumerate())
        self.threads = self.connections = 0

    def look(self) -> None:
        named = [one for one in self._server.client_list() if one["name"] == self.NAME]
        threads = set(threading.enumerate()) - self._before  # of those before some may end meanwhile
        self.threads = max(self.threads, len(threads))
        self.connections = max(self.connections, len(named))


@pytest.mark.parametrize(("kind", "count"), [("plain", 1000), ("maps", 100)])
def test_many_awaited_jobs(queue: Queue, server_url: str, kind: str, count: int) -> None:
    counted = Counted(queue)

    async def one(own: aio.Queue, n: int) -> Any:
        if kind == "plain":
            return await (await own.enqueue(jobs.square, n))
        return (await (await own.map(jobs.square, [n])))[0]

    async def program() -> list[int]:
        async with aio.Queue(queue.name, url=f"{server_url}?client_name={Counted.NAME}") as own:
            waits = [asyncio.create_task(one(own, n)) for n in range(count)]
            while not all(task.done() for task in waits):
                counted.look()
                await asyncio.wait(waits, timeout=BRIEF)
            return [task.result() for task in waits]

    assert run(program()) == [n * n for n in range(count)]
    assert 1 <= counted.threads <= 2  # and the loop's own: 3
    assert 1 <= counted.connections <= 3


def test_imap_is_bounded_and_leaves_nothing(queue: Queue) -> None:
    read, before = 0, set(left(queue))

    async def endless() -> AsyncIterator[int]:
        nonlocal read
        for n in itertools.count():
            read += 1
            yield n

    async def program() -> None:
        async with aio.Queue(queue=queue) as own:
            async with own.imap(jobs.fail_odd, endless(), buffersize=8) as values:
                found: list[Any] = []
                while len(found) < 30:
                    try:
                        found.append(await anext(values))
                    except ValueError:
                        found.append("odd")
                    assert read <= len(found) + 8
                assert found == [n if n % 2 == 0 else "odd" for n in range(30)]
            assert before >= set(left(queue))
            kept = own.imap_unordered(jobs.square, endless())
            assert isinstance(await anext(kept), int)
            dropped = own.imap(jobs.square, endless())
            await anext(dropped)
            del dropped
        wait_until(lambda: before >= set(left(queue)))
        await kept.aclose()

    run(program())


def test_imap_tells_what_its_iterable_raises_behind_its_results(queue: Queue) -> None:
    before = set(left(queue))

    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise KeyError

    async def program() -> None:
        async with aio.Queue(queue=queue) as own:
            values = own.imap(jobs.square, two())
            assert [await anext(values), await anext(values)] == [1, 4]
            with pytest.raises(KeyError):
                await anext(values)
            with pytest.raises(StopAsyncIteration):
                await anext(values)
            assert [value async for value in own.imap(jobs.square, iter(range(5)))] == [0, 1, 4, 9, 16]

    run(program())
    wait_until(lambda: before >= set(left(queue)))


def test_put_waits_for_room(queue: Queue) -> None:
    async def program() -> None:
        async with aio.Queue(queue=queue) as own, own.open_map(jobs.square, buffersize=4) as job:
            for n in range(40):
                await job.put(n)
                assert job.accepted - job.sync.feed.ended <= 4

    run(program())


def test_a_map_elsewhere_is_cancelled_while_tasks_wait(queue: Queue, server_url: str) -> None:
    async def program() -> None:
        async with aio.Queue("nobody", url=server_url) as own:
            job = await own.map(jobs.square, range(3))
            waits = asyncio.create_task(job.get()), asyncio.create_task(_all(job.in_order()))
            await asyncio.sleep(0)
            other = Queue("nobody", connection=connect(server_url))
            await asyncio.to_thread(other.fetch_job(job.id).cancel)
            other.connection.close()
            for task in waits:
                with pytest.raises(MapCanceledError):
                    await task

    run(program())


async def _all(values: Any) -> list[Any]:
    return [value async for value in values]


def test_connections_that_are_cut_are_made_again(queue: Queue, server_url: str) -> None:
    cut = set()

    def cut_all() -> None:
        for one in queue.connection.client_list():
            if one["name"] == "cut" and queue.connection.client_kill_filter(_id=one["id"]):
                cut.add(one["cmd"])

    async def program() -> None:
        async with aio.Queue("cut", url=f"{server_url}?client_name=cut") as own:
            job, plain = await own.map(jobs.square, range(3)), await own.enqueue(jobs.square, 3)
            waits = asyncio.gather(job, _all(job.in_order()), plain)
            while not {"subscribe", "xread"} <= cut:
                await asyncio.sleep(BRIEF)
                await asyncio.to_thread(cut_all)
            with running_worker(Queue("cut", connection=connect(server_url)), processes=1):
                assert await waits == [[0, 1, 4], [0, 1, 4], 9]

    run(program())


def test_a_connection_that_is_closed_as_a_task_writes_to_it_is_made_again(
    queue: Queue, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    async def closed_once(connection: Connection, command: Any) -> None:
        if not closed and b"SUBSCRIBE" in b"".join(command):
            closed.append(connection)
            await connection.disconnect(nowait=True)
        await write(connection, command)

    write = Connection._send_packed_command
    monkeypatch.setattr(Connection, "_send_packed_command", closed_once)

    async def program() -> None:
        async with aio.Queue("closed", url=server_url) as own:
            job = await own.map(jobs.square, range(3))
            waits = asyncio.ensure_future(_all(job.in_order()))
            await asyncio.to_thread(wait_until, lambda: closed)
            with running_worker(Queue("closed", connection=connect(server_url)), processes=1):
                assert await waits == [0, 1, 4]

    run(program())
