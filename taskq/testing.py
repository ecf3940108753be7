"""For the tests of programs that use taskq: a queue without a server, and workers that run what is on it.

    pytest_plugins = ["taskq.testing"]             # in conftest.py

    def test_report(fake_queue):
        job = fake_queue.map(render, pages)        # the code under test
        drain(fake_queue)                          # runs all of it here and now, in this process
        assert job.get() == [...]

    def test_on_real_processes(fake_queue):
        with running_worker(fake_queue, processes=2):
            assert fake_queue.map(render, pages).get(timeout=10) == [...]

    def test_with_a_pool():
        with taskq.testing.Pool(2) as pool:        # for code that is given a taskq.Pool, or a taskq.Executor
            assert scan(pool, paths) == [...]

Needs the extra ``taskq-pool[testing]`` (fakeredis with Lua, pytest).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import fakeredis
import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import SimpleWorker

from taskq.fronts import executor, pool
from taskq.fronts.place import Place
from taskq.queue import Queue
from taskq.redis.urls import url_of

_HANGS = 180.0  # seconds after which a worker that has not started, or not ended, never will


def make_fake_queue(name: str = "default", **options: Any) -> Queue:
    """A queue on a Redis of its own that exists in this process only.

    Args:
        name: The queue's name.
        options: For ``Queue``.
    """
    return Queue(name, connection=fakeredis.FakeRedis(server=fakeredis.FakeServer()), **options)


@pytest.fixture
def fake_queue() -> Queue:
    """As ``make_fake_queue()``."""
    return make_fake_queue()


def drain(queue: Queue) -> None:
    """Run everything that waits on the queue, one job after the other, in this process and thread.

    It is RQ's own ``SimpleWorker`` in burst mode: no other process, so breakpoints and mocks work; failed
    items and jobs are recorded, not raised. Must be called in the main thread.
    """
    worker = _Worker([queue], connection=queue.connection, serializer=queue.serializer, job_class=queue.job_class)
    worker.log_result_lifespan = False
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        worker.work(burst=True, logging_level="WARNING")
    finally:
        for signum, handler in handlers.items():  # RQ leaves its own behind
            signal.signal(signum, handler)


class _Worker(SimpleWorker):
    """RQ's worker without the thread for commands, which nobody sends to a worker that runs to its end."""

    def subscribe(self) -> None: ...
    def unsubscribe(self) -> None: ...


@contextmanager
def running_worker(
    queue: Queue, processes: int = 2, *, new_connection: Callable[[], Any] | None = None, **settings: Any
) -> Iterator[Any]:
    """A real taskq service for the length of a ``with`` block: dispatcher in a thread, real pool processes.

    The block begins when the service is registered: what is pushed in it knows how many processes there are.

    Jobs whose own code talks to Redis (result lists, ``save_meta``) need a real server, since no other process
    reaches a fakeredis.

    Args:
        queue: Where it gets its jobs.
        processes: Pool processes.
        new_connection: Makes its connections; default: to the queue's own server, fake or real.
        settings: Others of ``taskq_workers.settings.Settings``.

    Yields:
        The service's state, for looking at.

    Raises:
        AssertionError: If the service does not start, or does not stop.
    """
    # Here and not above: a producer's tests that only drain need none of the workers.
    from taskq_workers import clock
    from taskq_workers.rq_options import RQOptions
    from taskq_workers.service.core.events import Stop
    from taskq_workers.service.core.inbox import Inbox
    from taskq_workers.service.service import build
    from taskq_workers.settings import Settings, worker_name

    inbox = Inbox()
    options: dict[str, Any] = {
        "url": url_of(queue.connection),
        "queues": (queue.name,),
        "processes": processes,
        "grace": 1.0,
        "refusal_grace": 0.0,
    }
    if isinstance(queue.connection, fakeredis.FakeRedis):  # no pool process reaches it to clean RQ's registries
        options["rq"] = RQOptions(maintenance_interval=None)
    name = worker_name("test", 0)
    opened: list[Any] = []

    def connect() -> Any:
        opened.append(new_connection() if new_connection else _again(queue.connection))
        return opened[-1]

    ready = threading.Event()
    told = Settings(**{**options, **settings})
    dispatcher = build(told, name, "taskq test:", inbox, connect(), connect, ready.set)
    thread = threading.Thread(target=dispatcher.run, name=name, daemon=True)
    with clock.followed():
        thread.start()
        try:
            _wait_for(ready, thread)
            yield dispatcher.state
        finally:
            inbox.put(Stop(time.monotonic() + dispatcher.state.settings.grace))
            thread.join(_HANGS)
            dispatcher.state.worker.unsubscribe()
            assert not thread.is_alive(), "the worker did not stop"
            for connection in opened:
                connection.close()


class Executor(executor.Executor):
    """A ``taskq.Executor`` on a Redis and a worker of its own, with real processes, for the length of a test.

    Args:
        processes: Of its worker.
        options: Others of ``taskq.Executor``, but a queue, its URL, ``payload_limit`` and ``max_tasks_per_child``.

    Shut it down, or use it as a context manager: that ends the worker, too. ``place.queue`` is its queue.
    """

    def __init__(self, processes: int = 2, **options: Any) -> None:
        super().__init__(place=FakePlace(processes), **options)


class Pool(pool.Pool):
    """A ``taskq.Pool`` on a Redis and a worker of its own, with real processes, for the length of a test.

    Args:
        processes: Of its worker.
        options: Others of ``taskq.Pool``, but a queue, its URL, ``payload_limit`` and ``maxtasksperchild``.

    Close or terminate it, or use it as a context manager: that ends the worker, too; ``join`` waits for that.
    """

    def __init__(self, processes: int = 2, **options: Any) -> None:
        super().__init__(place=FakePlace(processes), **options)


class FakePlace(Place):
    """A fake queue, and a worker on it, until it is closed."""

    def __init__(self, processes: int) -> None:
        self.queue, self.processes, self.own = make_fake_queue(), processes, True
        self._stack = ExitStack()
        self._stack.enter_context(running_worker(self.queue, processes))
        self.queue.own_workers = True  # they are forked from this program, and have its keys


def _wait_for(ready: threading.Event, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _HANGS
    while not ready.wait(0.1):
        assert thread.is_alive(), "the worker has ended at its start"
        assert time.monotonic() < deadline, "the worker did not start"


def _again(connection: Any) -> Any:
    """Another connection to the same server, as a service has it: redis-py says nothing twice."""
    from taskq_workers.service.rq.lean import LeanPool, LeanRedis  # here, as above

    pool = connection.connection_pool
    if isinstance(connection, fakeredis.FakeRedis):
        return fakeredis.FakeRedis(connection_pool=pool)
    options = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
    return LeanRedis.from_pool(LeanPool(pool.connection_class, **options))
