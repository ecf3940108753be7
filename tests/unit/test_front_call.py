"""What a front's map calls: the function of each item, judged by the worker's rules."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from taskq import ImportRefusedError
from taskq.fronts import baggage, call
from taskq.payload import imports
from taskq.payload.function import Function
from tests import jobs


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    call.loaded.cache_clear()
    yield
    imports.allow([])
    call.loaded.cache_clear()


def run(function: object, *args: object, **kwargs: object) -> object:
    return call.run(baggage.packed(function), baggage.arguments(function, args, kwargs, 1 << 20))


def test_it_calls() -> None:
    assert run(jobs.add, 1, b=2) == 3
    assert run(lambda x: x + 1, 1) == 2
    assert run("tests.jobs.square", 3) == 9


def test_what_may_be_called_is_judged_for_each_call() -> None:
    imports.allow(["tests.jobs.square"])
    assert Function.of(call.run).load() is call.run
    assert run(jobs.square, 3) == 9
    for function in (jobs.add, os.getpid, lambda: 1):
        with pytest.raises(ImportRefusedError):
            run(function)


def test_a_function_by_name_is_pickled_and_loaded_once() -> None:
    assert baggage.packed(jobs.square) is baggage.packed(jobs.square)
    run(jobs.square, 1)
    run(jobs.square, 2)
    assert call.loaded.cache_info().misses == 1


def test_what_travels_by_value_is_pickled_as_it_is_now() -> None:
    factor = 2

    def times(x: int) -> int:
        return x * factor

    assert run(times, 3) == 6
    factor = 5
    assert run(times, 3) == 15
