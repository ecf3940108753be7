"""A pytest plugin: RQ's tests get a worker whose ``work`` is a real service of ours, with real pool processes.

Everything else of it is RQ's worker, so tests that look at a worker's attributes, or call a method of its, mean
the same as before. ``RQ_SUITE_PROCESSES`` says how many pool processes it has.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import rq
import rq.worker
import rq.worker.worker_classes as classes
import rq.worker_pool
from rq.job import Job
from rq.serializers import DefaultSerializer
from rq.worker import DequeueStrategy

from taskq.payload.function import Function
from taskq.redis.connection import connect
from taskq_workers.lanes import guard
from taskq_workers.lanes.lone_pool import context
from taskq_workers.rq_options import RQOptions
from taskq_workers.service.core.events import Stop
from taskq_workers.service.core.inbox import Inbox
from taskq_workers.service.jobs import fetcher
from taskq_workers.service.service import build
from taskq_workers.settings import Settings
from taskq_workers.user_code import UserCode

PROCESSES = int(os.environ.get("RQ_SUITE_PROCESSES", "1"))
_LONG = 3600.0  # seconds of grace: RQ's worker waits for its horse as long as it takes
_SECOND_SIGNAL = 1.0  # second within which RQ takes a second signal for the same

_MAIN = os.getpid()
fetcher.BLOCK = 0.1  # seconds: some tests give a worker 0.75 s to end, whatever else the machine does

worked = [0]  # how often a service of ours has worked


def url_of(connection: Any) -> str:
    options = connection.connection_pool.connection_kwargs
    return f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


class Adapter(classes.Worker):
    """RQ's worker, but for its work."""

    strategy: DequeueStrategy | None = None

    def work(
        self, burst: bool = False, logging_level: str | None = None, date_format: str = "", log_format: str = "",
        max_jobs: int | None = None, max_idle_time: int | None = None, with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:  # fmt: skip
        """Its signature is RQ's; how it logs is not for these tests to say."""
        del logging_level, date_format, log_format
        worked[0] += 1
        _share_forkserver()
        inbox = Inbox()
        url = url_of(self.connection)
        options = RQOptions(
            user=self._user_code(), results_ttl=self.default_result_ttl, worker_ttl=self.worker_ttl,
            maintenance_interval=self.maintenance_interval, job_monitoring_interval=self.job_monitoring_interval,
            disable_default_exception_handler=self.disable_default_exception_handler, burst=burst,
            max_jobs=max_jobs, max_idle_time=max_idle_time, with_scheduler=with_scheduler,
            dequeue_strategy=(self.strategy or DequeueStrategy(dequeue_strategy)).value,
        )  # fmt: skip
        settings = Settings(url, tuple(self.queue_names()), processes=PROCESSES, grace=_LONG, rq=options)
        dispatcher = build(
            settings, self.name, "rq-suite:", inbox, connect(url, retries=0), lambda: connect(url, retries=0)
        )
        restore = self._catch_signals(inbox, dispatcher)
        try:
            dispatcher.run()
        finally:
            restore()
            dispatcher.state.worker.unsubscribe()
        return bool(dispatcher.state.begun)

    def _user_code(self) -> UserCode:
        own = self.serializer is not DefaultSerializer
        killed = self._work_horse_killed_handler
        return UserCode(
            serializer=Function.of(self.serializer) if own else None,
            job_class=Function.of(self.job_class) if self.job_class is not Job else None,
            queue_class=Function.of(self.queue_class) if self.queue_class is not rq.Queue else None,
            exception_handlers=tuple(Function.of(handler) for handler in self._exc_handlers),
            work_horse_killed_handler=Function.of(killed) if killed else None,
        )

    def _catch_signals(self, inbox: Any, dispatcher: Any) -> Any:
        """As RQ's worker in its main thread: the first signal lets what runs end, a later one does not."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        first = [0.0]

        def stop(_signum: int, _frame: Any) -> None:
            if not first[0]:
                first[0] = time.monotonic()
                self._shutdown_requested_date = rq.worker.base.now()
                if dispatcher.state.taken:
                    self._stop_requested = True
                inbox.put(Stop(time.monotonic() + _LONG))
            elif time.monotonic() - first[0] >= _SECOND_SIGNAL:
                dispatcher.state.lanes.close()
                raise SystemExit

        before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        return lambda: [signal.signal(signum, handler) for signum, handler in before.items()]


def _share_forkserver() -> None:
    """In a process which a test has forked: use its parent's forkserver; multiprocessing would not find it.

    A worker is ready in milliseconds then, as RQ's tests expect of one.
    """
    if os.getpid() != _MAIN:
        multiprocessing.forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
        multiprocessing.forkserver.ensure_running = lambda: None


def pytest_sessionstart() -> None:
    context()
    guard.ensure_forkserver()


class RoundRobin(Adapter):
    strategy = DequeueStrategy.ROUND_ROBIN


class Random(Adapter):
    strategy = DequeueStrategy.RANDOM


def _substitute() -> None:
    original = classes.Worker
    for function in (rq.worker_pool.run_worker, rq.worker_pool.WorkerPool.__init__):
        defaults = function.__defaults__ or ()
        function.__defaults__ = tuple(Adapter if one is original else one for one in defaults)
    names = {"Worker": Adapter, "SimpleWorker": Adapter, "RoundRobinWorker": RoundRobin, "RandomWorker": Random}
    for name, adapter in names.items():
        for module in (rq, rq.worker, classes, rq.worker_pool):
            if hasattr(module, name):
                setattr(module, name, adapter)


_substitute()


def pytest_sessionfinish() -> None:
    """End workers which a failed test has left behind; multiprocessing would wait for them."""
    for process in multiprocessing.active_children():
        process.kill()


# -- which tests run, and what came of them -------------------------------------------------------------

RAN = pytest.StashKey[bool]()


def _not_applicable() -> dict[str, str]:
    """Node id, or file or class as a whole, -> reason."""
    lists = tomllib.loads((Path(__file__).parent / "not_applicable.toml").read_text())
    chosen = {**lists["always"], **(lists["several_processes"] if PROCESSES > 1 else {})}
    return {entry: reason for reason, entries in chosen.items() for entry in entries}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = _not_applicable()
    used = set()
    for item in items:
        parts = item.nodeid.removeprefix("tests/").split("::")
        for length in range(1, len(parts) + 1):
            entry = "::".join(parts[:length])
            if entry in reasons:
                used.add(entry)
                item.add_marker(pytest.mark.skip(reason=f"not applicable: {reasons[entry]}"))
    if not config.args or config.args == [str(config.rootpath / "tests")] or config.args == ["tests"]:
        unused = set(reasons) - used
        assert not unused, f"not_applicable.toml names tests that do not exist: {sorted(unused)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    before = worked[0]
    try:
        return (yield)
    finally:
        signal.alarm(0)  # some tests set it for themselves; RQ's worker would have cancelled it by its own
        item.user_properties.append(("ran our worker", worked[0] > before))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    stats = terminalreporter.stats
    skipped = stats.get("skipped", [])
    apart = sum("not applicable:" in str(report.longrepr) for report in skipped)
    passed = stats.get("passed", [])
    ours = sum(("ran our worker", True) in report.user_properties for report in passed)
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(
        f"RQ {rq.VERSION} on taskq, {PROCESSES} pool process{'es' * (PROCESSES > 1)}: {len(passed)} passed "
        f"({ours} of them ran a service of ours), {apart} not applicable, {len(skipped) - apart} skipped by RQ, "
        f"{failed} failed"
    )
