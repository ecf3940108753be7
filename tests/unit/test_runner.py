"""What becomes of the items of a chunk."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import ItemError, PickleError
from taskq.maps import body
from taskq.maps.body import Header
from taskq.maps.pace import HELD
from taskq.maps.runner import run_chunk
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.payload.outcome import MAX_PICKLE, MAX_TEXT, ChunkOutcome, ChunkRefused, Part
from taskq.payload.ranges import Range
from tests import jobs
from tests.unit.running import KEYS, LIMIT, Unreadable, items_of, run, values


def raising(error: BaseException) -> Callable[[int], int]:
    def call(n: int) -> int:
        if n == 1:
            raise error
        return n

    return call


def test_all_succeed() -> None:
    outcome = run(jobs.square, [1, 2, 3], start=10)
    assert values(outcome) == [1, 4, 9]
    assert outcome.spans == [(10, 3)]
    assert outcome.failures == []


def test_an_array() -> None:
    outcome = run(float, np.arange(3))
    assert values(outcome) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("bears", "ran"), [(0, 2), (1, 4), (2.5, 6), (3, 8), (math.inf, 10)])
def test_more_failures_than_the_map_bears_end_it(bears: float, ran: int) -> None:
    outcome = run(jobs.invert, [1, 0] * 4 + [1, 1], bears=bears)
    failed = len(outcome.failures)
    assert len(outcome.values) + failed == ran
    assert sum(part.range.count for part in outcome.rest) == 10 - ran
    assert failed == min(4, math.floor(min(bears, 9)) + 1)


def test_star() -> None:
    assert values(run(jobs.add, [(1, 2), (3, 4)], star=True)) == [3, 7]


def test_star_with_a_wrong_number_of_arguments_costs_only_that_item() -> None:
    outcome = run(jobs.add, [(1, 2), (3,), 5], star=True)
    assert values(outcome) == [3]
    assert [(failure.index, failure.type) for failure in outcome.failures] == [(1, "TypeError"), (2, "TypeError")]


def test_time_is_taken() -> None:
    before = time.time()
    outcome = run(jobs.nap, [0.01])
    assert before <= outcome.started <= time.time()
    assert 0.01 <= outcome.seconds < 5


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 10**9), st.data())
def test_spans_tell_where_each_result_belongs(good: list[bool], start: int, data: st.DataObject) -> None:
    offsets = st.sets(st.integers(0, len(good) - 1)).map(sorted)
    only = data.draw(offsets)
    items = [(start + offset, fine) for offset, fine in enumerate(good)]

    def call(index: int, fine: bool) -> int:
        if not fine:
            raise ValueError
        return index

    outcome = run(call, items, start=start, only=only, star=True)
    placed = [index for first, count in outcome.spans for index in range(first, first + count)]
    chosen = [items[offset] for offset in only] if only else items
    assert values(outcome) == placed == [index for index, fine in chosen if fine]
    assert [failure.index for failure in outcome.failures] == [index for index, fine in chosen if not fine]
    assert items_of(outcome.left) == {index: (index, fine) for index, fine in chosen if not fine}
    assert all(count > 0 for _first, count in outcome.spans)


def test_only_some_offsets() -> None:
    outcome = run(jobs.square, [1, 2, 3, 4, 5], start=100, only=[1, 2, 4])
    assert values(outcome) == [4, 9, 25]
    assert outcome.spans == [(101, 2), (104, 1)]


def test_a_range_that_is_smaller_than_its_body() -> None:
    outcome = run(jobs.square, [1, 2, 3, 4, 5], start=100, part=Range(101, 3))
    assert values(outcome) == [4, 9, 16]
    assert outcome.spans == [(101, 3)]
    outcome = run(jobs.square, [1, 2, 3, 4, 5], start=100, only=[0, 2, 4], part=Range(101, 4))
    assert values(outcome) == [9, 25]
    assert outcome.spans == [(102, 1), (104, 1)]


def test_a_range_in_which_nothing_is_to_be_done() -> None:
    outcome = run(jobs.square, [1, 2, 3, 4, 5], only=[0, 4], part=Range(1, 3))
    assert (outcome.values, outcome.spans, outcome.failures, outcome.rest, outcome.left) == ([], [], [], [], [])


def test_an_exception_costs_only_its_item() -> None:
    outcome = run(jobs.invert, [1, 0, 2], start=5)
    assert values(outcome) == [1.0, 0.5]
    assert outcome.spans == [(5, 1), (7, 1)]
    (failure,) = outcome.failures
    assert (failure.index, failure.type, failure.message) == (6, "ZeroDivisionError", "division by zero")
    assert "in invert" in failure.traceback
    assert "runner.py" not in failure.traceback
    assert isinstance(failure.exception(), ZeroDivisionError)


@pytest.mark.parametrize(
    "error",
    [SystemExit("x"), KeyboardInterrupt(), GeneratorExit(), StopIteration(7), MemoryError(), RecursionError()],
    ids=repr,
)
def test_no_exception_gets_out(error: BaseException) -> None:
    outcome = run(raising(error), [0, 1, 2])
    assert values(outcome) == [0, 2]
    assert outcome.failures[0].type == type(error).__name__
    assert isinstance(outcome.failures[0].exception(), type(error))


def test_a_class_of_ones_own_is_named_with_its_module() -> None:
    assert run(jobs.stubborn, [1]).failures[0].type == "tests.jobs.Stubborn"


def test_an_exception_that_does_not_unpickle_has_a_stand_in() -> None:
    (failure,) = run(jobs.stubborn, [4]).failures
    assert failure.pickled == ""
    error = failure.exception()
    assert isinstance(error, ItemError)
    assert str(error) == "item 0 failed with tests.jobs.Stubborn: 4 and 4"
    assert "raise Stubborn" in str(error.__cause__)


class Evil(BaseException):
    """As hostile as an exception can be."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__

    def __reduce__(self) -> Any:
        raise self.error


class MuteError(Exception):
    """Its text is broken, and so is the text of what breaks it."""

    def __str__(self) -> str:
        raise self

    __repr__ = __str__


def raise_evil(error: BaseException) -> None:
    raise Evil(error)


def raise_mute(_item: object) -> None:
    raise MuteError


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("exit"), KeyboardInterrupt()], ids=repr)
def test_an_exception_whose_text_raises(error: BaseException) -> None:
    outcome = None
    with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):
        outcome = run(raise_evil, [error])
    if outcome is None:  # pytest could not show this traceback
        pytest.fail("an exception got out of run_chunk", pytrace=False)
    assert outcome.failures[0].type.endswith("Evil")
    assert isinstance(outcome.failures[0].exception(), ItemError)


def test_an_exception_without_any_text() -> None:
    outcome = run(raise_mute, [1])
    assert outcome.failures[0].type.endswith("MuteError")


class LiarError(Exception):
    """Unpickles as something else."""

    def __reduce__(self) -> Any:
        return str, ("not an exception",)


def lie(_item: object) -> None:
    raise LiarError("x")


def test_an_exception_that_unpickles_as_another() -> None:
    (failure,) = run(lie, [1]).failures
    assert str(failure.exception()) == "item 0 failed with tests.unit.test_runner.LiarError: x"


def test_causes_are_in_the_traceback() -> None:
    def call(n: int) -> None:
        try:
            jobs.invert(n)
        except ZeroDivisionError as error:
            raise LookupError("outer") from error

    text = run(call, [0]).failures[0].traceback
    assert text.index("ZeroDivisionError: division by zero") < text.index("LookupError: outer")


def test_long_texts_are_cut() -> None:
    failure = run(raising(ValueError("x" * 2 * MAX_PICKLE)), [1]).failures[0]
    assert len(failure.message) <= MAX_TEXT
    assert len(failure.traceback) <= MAX_TEXT + 10
    assert len(failure.to_json()) < 4 * MAX_TEXT
    assert type(failure.exception()) is ItemError


def test_a_large_exception_comes_back_as_itself() -> None:
    failure = run(raising(ValueError("x" * 500_000)), [1]).failures[0]
    assert failure.exception().args == ("x" * 500_000,)


class LargeError(Exception):
    """As large as one may be."""


def raise_large(n: int) -> None:
    raise LargeError(n, "x" * (MAX_PICKLE - 1000))


def test_of_a_chunk_in_which_all_fail_not_all_exceptions_are_large() -> None:
    failures = run(raise_large, range(50)).failures
    kinds = [type(failure.exception()) for failure in failures]
    assert kinds[:2] == [LargeError, LargeError]
    assert kinds[3:] == [ItemError] * 47
    assert sum(len(failure.pickled) for failure in failures) < HELD + 2 * MAX_PICKLE


def test_a_chunk_ends_with_so_many_bytes_of_errors() -> None:
    outcome = run(raise_large, list(range(5000)), adapt=True)
    assert len(outcome.failures) < 200
    assert sum(part.range.count for part in outcome.rest) + len(outcome.failures) == 5000


def test_an_unpicklable_result_costs_only_its_item() -> None:
    outcome = run(jobs.unpicklable, [0, 1, 0])
    assert values(outcome) == [0, 0]
    (failure,) = outcome.failures
    assert failure.type == "PickleError"
    assert "the result (generator) can't be pickled" in failure.message
    assert isinstance(failure.exception(), PickleError)


def test_a_result_over_the_limit_costs_only_its_item() -> None:
    outcome = run(jobs.big, [10, 2 * LIMIT, 20], start=7)
    assert outcome.spans == [(7, 1), (9, 1)]
    (failure,) = outcome.failures
    assert failure.type == "TooLargeError"
    assert "the result of item 8" in failure.message
    assert f"limit of {LIMIT:,}" in failure.message


# -- refused ---------------------------------------------------------------------------------------


def refused(function: Function, payload: bytes) -> ChunkRefused:
    outcome = run_chunk(function, KEYS, False, Range(0, 1), payload, LIMIT)
    assert isinstance(outcome, ChunkRefused)
    return outcome


def test_a_function_that_cannot_be_loaded_refuses_the_chunk() -> None:
    outcome = refused(Function.of("no_such_module.f"), body.write(KEYS, 0, [1]))
    assert "FunctionError" in outcome.reason
    assert "no_such_module.f" in outcome.reason


def test_items_of_one_pickle_that_can_not_be_read_fail_and_nothing_else() -> None:
    data = bytes(Header(Range(0, 2))) + codec.dumps([1, Unreadable(SystemExit("while unpickling"))])
    outcome = run_chunk(Function.of(jobs.square), KEYS, False, Range(0, 2), data, LIMIT)
    assert isinstance(outcome, ChunkOutcome)
    assert [(one.index, one.type) for one in outcome.failures] == [(0, "SystemExit"), (1, "SystemExit")]
    assert outcome.left == [Part(Range(0, 2))]


def test_but_a_module_that_is_missing_here_may_be_elsewhere() -> None:
    data = bytes(Header(Range(0, 1))) + codec.dumps([Unreadable(ModuleNotFoundError("no module"))])
    assert refused(Function.of(jobs.square), data).local


@pytest.mark.parametrize(
    "payload",
    [b"", b"p 0 1 \n", b"no header", b"p 0 1 \nno pickle", b"f 0 1 \nno frame", b"p 0 2 \n" + codec.dumps([1])],
)
def test_a_broken_payload_refuses_the_chunk(payload: bytes) -> None:
    assert refused(Function.of(jobs.square), payload).reason
