"""Records of failures, and the exceptions made of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import ItemError, ItemFailure, WorkerLostError
from taskq.errors import RemoteTraceback
from taskq.maps.raised import failure_of
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
        "host": "",
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


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(),
        concurrent.futures.CancelledError(), BaseExceptionGroup("several", [SystemExit(0), ValueError()]),
    ],
    ids=repr,
)  # fmt: skip
def test_what_means_something_to_python_is_not_raised_itself(error: BaseException) -> None:
    failure = failure_of(caught(error), 4)
    raised = failure.to_raise("the map m (f)")
    assert type(raised) is ItemError
    assert str(raised).startswith(f"item 4 failed with {failure.type}")
    assert type(raised.__cause__) is type(error)
    assert isinstance(raised.__cause__.__cause__, RemoteTraceback)
    assert raised.__notes__ == [f"item 4 of the map m (f) on {socket.gethostname()}"]
    assert type(failure.exception()) is type(error)


class Ended(BaseException):
    """One of a user's own that is no Exception."""


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration(3), Ended("x"), OSError(2, "gone")], ids=repr)
def test_all_else_is_raised_itself(error: BaseException) -> None:
    assert type(failure_of(caught(error), 4).to_raise()) is type(error)


def test_what_would_mean_something_to_the_caller_is_not_raised_itself_either() -> None:
    raised = failure_of(caught(StopIteration(3)), 4).to_raise(wrapped=(IndexError, StopIteration))
    assert type(raised) is ItemError
    assert isinstance(raised.__cause__, StopIteration)


def test_a_note_tells_of_which_item_it_is() -> None:
    failure = ItemFailure.from_json(failure_of(caught(ValueError("x")), 4).to_json())
    assert failure.exception("the map m (f)").__notes__ == [f"item 4 of the map m (f) on {socket.gethostname()}"]
    lost = ItemFailure.lost(5, "signal 9 on far", 3, "far")
    assert lost.exception("the map m (f)").__notes__ == ["item 5 of the map m (f) on far"]
    assert ItemFailure(6, "E", "").exception().__notes__ == ["item 6"]  # of a worker that said no more


def test_a_note_of_the_items_own_stays() -> None:
    error = ValueError("x")
    error.add_note("its own")
    assert failure_of(caught(error), 4).exception().__notes__[0] == "its own"


class FrozenError(Exception):
    """Lets nobody set an attribute."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def test_an_exception_that_lets_nobody_set_an_attribute() -> None:
    error = failure_of(caught(FrozenError(3)), 4).to_raise("the map m (f)")
    assert isinstance(error, FrozenError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert error.__notes__


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
