"""``taskq.Worker``: for scripts that make a worker of RQ's and call its ``work``."""

from __future__ import annotations

import inspect
import logging
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import rq
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.job import Job
from rq.serializers import DefaultSerializer
from rq.worker import BaseWorker, DequeueStrategy

from taskq.errors import OptionError, UsageError
from taskq.payload.function import Function
from taskq.redis import urls

_STOPS = (signal.SIGINT, signal.SIGTERM)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Worker(rq.Worker):
    """RQ's worker, whose ``work`` is ``taskq worker``: on several cores, with maps, supervised.

    Args:
        args: As RQ's worker has them, and by the same names. Classes and handlers are sent by name.
        processes: How many jobs and chunks run at the same time; default: the cores it may use.
        options: As RQ's.

    Raises:
        OptionError: Of ``work``, if a class or handler is of a script, a shell, or within a function.
        UsageError: Of ``work``, if the worker did not start, or ended by an error; the log says why.

    What RQ's worker does by itself is done in processes of their own: of the methods of a subclass only
    ``perform_job`` and ``handle_exception`` are called (``--worker-class``).
    """

    def __init__(self, *args: Any, processes: int | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._processes = processes

    def work(
        self, burst: bool = False, logging_level: str | int | None = None,
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT, log_format: str = DEFAULT_LOGGING_FORMAT,
        max_jobs: int | None = None, max_idle_time: float | None = None, with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:  # fmt: skip
        """Work until a signal comes, or there is nothing to do if it is to ``burst``.

        Returns:
            Whether any job was run.
        """
        told = {
            "burst": burst, "with-scheduler": with_scheduler, "log-level": _level(logging_level),
            "max-jobs": max_jobs, "max-idle-time": None if max_idle_time is None else math.ceil(max_idle_time),
            "dequeue-strategy": DequeueStrategy(dequeue_strategy).value,
            "log-format": log_format if log_format != DEFAULT_LOGGING_FORMAT else None,
            "date-format": date_format if date_format != DEFAULT_LOGGING_DATE_FORMAT else None,
        }  # fmt: skip
        command = [sys.executable, "-m", "taskq", "worker", *self.queue_names()]
        command += _options({**told, **self._as_made(), **self._by_name()})
        environment = {**os.environ, "TASKQ_URL": urls.whole_url_of(self.connection)}  # its password is in no ps
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        with signals_go_to(process):
            code = process.wait()
        if code not in (0, -signal.SIGTERM, -signal.SIGINT):
            raise UsageError(f"taskq worker ended with the exit code {code}; its log says why")
        return self._has_run_some(process.pid)

    def _as_made(self) -> dict[str, Any]:
        return {
            "name": self.name, "processes": self._processes, "results-ttl": self.default_result_ttl,
            "worker-ttl": self.worker_ttl, "maintenance-interval": self.maintenance_interval,
            "job-monitoring-interval": self.job_monitoring_interval,
            "disable-default-exception-handler": self.disable_default_exception_handler,
            "exception-handler": [_path(one) for one in self._exc_handlers],
            "path": [folder or str(Path.cwd()) for folder in sys.path],
        }  # fmt: skip

    def _by_name(self) -> dict[str, str]:
        own = {"job-class": (self.job_class, Job), "queue-class": (self.queue_class, rq.Queue),
               "serializer": (self.serializer, DefaultSerializer), "worker-class": (type(self), Worker),
               "work-horse-killed-handler": (self._work_horse_killed_handler, None)}  # fmt: skip
        return {name: _path(given) for name, (given, usual) in own.items() if given is not usual}

    def _has_run_some(self, pid: int) -> bool:
        """Whether what its services have left, each for a minute, says so."""
        prefix = f"{BaseWorker.redis_worker_namespace_prefix}{re.sub(r'[^-@.+_0-9A-Za-z]', '?', self.name)}"
        for key in self.connection.scan_iter(f"{prefix}*{pid}-*", count=1000):
            counts = self.connection.hmget(key, "successful_job_count", "failed_job_count")
            if any(int(count or 0) for count in cast("list[bytes | None]", counts)):
                return True
        return False


def _level(given: str | int | None) -> str | None:
    """By its name; of a number without one that of the next higher level."""
    if not isinstance(given, int):
        return given
    return next((name for name in _LEVELS if getattr(logging, name) >= given), _LEVELS[-1])


def _path(given: Any) -> str:
    """By what a process can import it."""
    if isinstance(given, str):
        return given
    if not (inspect.isfunction(given) or isinstance(given, type)):
        raise OptionError(f"{given!r} is sent by name: give a function or a class of a module")
    path = f"{getattr(given, '__module__', None)}.{getattr(given, '__qualname__', repr(given))}"
    if path.startswith("__main__.") or Function.of(given).by_value:
        raise OptionError(f"{path} is sent by name, and no process can import it: put it into a module")
    return path


def _options(given: dict[str, Any]) -> list[str]:
    """As on a command line; what is None, False or empty is not said."""
    options = []
    for name, value in given.items():
        if value is True:
            options.append(f"--{name}")
        elif value is not None and value is not False:
            options += [f"--{name}={one}" for one in (value if isinstance(value, list) else [value])]
    return options


@contextmanager
def signals_go_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """As RQ's worker in its main thread: the first one lets end what runs, the next one does not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda number, _frame: process.send_signal(number)) for one in _STOPS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
