"""The test cases of ``run.py``, in a module which workers can import, too: some have methods of theirs called."""

from __future__ import annotations

import importlib
import os
import unittest
from typing import Any

import taskq

_POOL = ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime")
_EXECUTOR = {
    "executor": ["ExecutorTest"],
    "test_wait": ["WaitTests"],
    "test_as_completed": ["AsCompletedTests"],
    "test_shutdown": ["ExecutorShutdownTest"],
    "test_init": ["InitializerMixin", "FailingInitializerMixin"],
    "test_deadlock": ["ExecutorDeadlockTest"],
}


def pool(processes: Any = None, initializer: Any = None, initargs: Any = (), maxtasksperchild: Any = None) -> Any:
    """As ``multiprocessing.Pool``."""
    if maxtasksperchild is None:
        return taskq.Pool(processes, initializer, initargs)
    url = os.environ.pop("TASKQ_URL")  # only a pool's own processes are replaced
    try:
        return taskq.Pool(processes, initializer, initargs, maxtasksperchild)
    finally:
        os.environ["TASKQ_URL"] = url


class Executor(taskq.Executor):
    """As ``concurrent.futures.ProcessPoolExecutor``."""

    def __init__(self, max_workers: Any = None, mp_context: None = None, **options: Any) -> None:
        del mp_context
        super().__init__(max_workers, **options)


def of(front: str) -> list[type[unittest.TestCase]]:
    """The classes that test a front."""
    importlib.import_module("test.support").use_resources = ["walltime"]
    return _pools() if front == "pool" else _executors()


def _pools() -> list[type[unittest.TestCase]]:
    suite = importlib.import_module("test._test_multiprocessing")
    mixin = type("TaskqMixin", (suite.ProcessesMixin,), {"Pool": staticmethod(pool)})
    return [_made(name, (getattr(suite, name), mixin, unittest.TestCase)) for name in _POOL]


def _executors() -> list[type[unittest.TestCase]]:
    package = "test.test_concurrent_futures"
    util = importlib.import_module(f"{package}.util")
    attributes = {"executor_type": Executor, "get_context": lambda _self: None}
    mixin = type("TaskqMixin", (util.ExecutorMixin,), attributes)
    return [
        _made(name, (getattr(importlib.import_module(f"{package}.{module}"), name), mixin, util.BaseTestCase))
        for module, names in _EXECUTOR.items()
        for name in names
    ]


def _made(name: str, bases: tuple[type, ...]) -> type[unittest.TestCase]:
    return type(name, bases, {"__module__": __name__})


def __getattr__(name: str) -> Any:
    fronts = {"pool": name in _POOL, "executor": any(name in names for names in _EXECUTOR.values())}
    for front in (front for front, has in fronts.items() if has):
        for case in of(front):
            globals().setdefault(case.__name__, case)
        return globals()[name]
    raise AttributeError(name)
