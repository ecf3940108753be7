"""Records of failures, and the exceptions made of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import ItemError, ItemFailure, WorkerLostError
from taskq.errors import RemoteTraceback
from taskq.maps.runner import failure_of
from taskq.payload.outcome import Totals, summary
from tests import jobs

failures = st.builds(
    ItemFailure, st.integers(0, 2**60), st.text(), st.text(), st.text(), st.just(""), st.integers(1, 100)
)


@given(failures)
def test_json_round_trip(failure: ItemFailure) -> None:
    assert ItemFailure.from_json(failure.to_json()) == failure


@pytest.mark.parametrize(
    "text",
    ["\ud800", "a\udc80b", "\udcff\udc00", "\\\ud800", '\\"\ud800"', "\x00\x1f\x7f", "🦊 ẞ", "\u2028", "\\ud800"],
)
def test_odd_text_survives(text: str) -> None:
    failure = ItemFailure(0, "OSError", text, text)
    data = failure.to_json()
    assert json.loads(data.decode("utf-8"))["message"] == text
    assert ItemFailure.from_json(data) == failure


def test_the_record_is_readable_json() -> None:
    record = json.loads(ItemFailure(3, "ValueError", "größer").to_json())
    assert record == {
        "index": 3, "type": "ValueError", "message": "größer", "traceback": "", "pickled": "", "attempts": 1,
    }  # fmt: skip


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - any kind is given
        return raised


def test_the_items_own_exception_comes_back() -> None:
    failure = ItemFailure.from_json(failure_of(caught(OSError(2, "gone", "/a")), 4).to_json())
    error = failure.exception()
    assert isinstance(error, FileNotFoundError)
    assert error.args == (2, "gone")
    assert error.filename == "/a"


def test_the_remote_traceback_is_its_cause() -> None:
    error = failure_of(caught(ValueError("x")), 4).exception()
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "ValueError: x" in str(error.__cause__)


def test_without_a_traceback_there_is_no_cause() -> None:
    assert ItemFailure(0, "ValueError", "x").exception().__cause__ is None


@pytest.mark.parametrize(
    "pickled", ["", "AAAA", "not base64!", "gASMAWEu"], ids=["none", "junk", "text", "a string"]
)
def test_a_stand_in_where_the_exception_cannot_be_had(pickled: str) -> None:
    error = ItemFailure(7, "m.OddError", "odd", "Traceback ...", pickled).exception()
    assert type(error) is ItemError
    assert str(error) == "item 7 failed with m.OddError: odd"
    assert isinstance(error.__cause__, RemoteTraceback)


def test_a_class_that_is_missing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class GoneError(Exception):
        pass

    GoneError.__qualname__ = "GoneError"
    GoneError.__module__ = "tests.jobs"
    monkeypatch.setattr(jobs, "GoneError", GoneError, raising=False)
    failure = failure_of(caught(GoneError("x")), 1)
    assert isinstance(failure.exception(), GoneError)
    monkeypatch.delattr(jobs, "GoneError")
    error = failure.exception()
    assert type(error) is ItemError
    assert str(error) == "item 1 failed with tests.jobs.GoneError: x"


def test_each_exception_is_a_new_one() -> None:
    failure = failure_of(caught(ValueError("x")), 1)
    assert failure.exception() is not failure.exception()


def test_a_lost_process() -> None:
    failure = ItemFailure.lost(5, "signal 9 (SIGKILL) on host", 3)
    error = ItemFailure.from_json(failure.to_json()).exception()
    assert type(error) is WorkerLostError
    assert "item 5" in str(error)
    assert "died 3 times" in str(error)
    assert "SIGKILL" in str(error)
    assert failure.attempts == 3


def test_text() -> None:
    assert str(ItemFailure(3, "ValueError", "x")) == "item 3: ValueError: x"


@pytest.mark.parametrize(
    ("done", "failed", "total", "complete"), [(0, 0, 1, False), (1, 1, 3, False), (2, 1, 3, True), (0, 0, 0, True)]
)
def test_totals(done: int, failed: int, total: int, complete: bool) -> None:
    assert Totals(True, done, failed, total).complete is complete


def test_summary() -> None:
    assert summary(2, 1, 3, 1.23456) == {"items": 3, "done": 2, "failed": 1, "seconds": 1.235}
