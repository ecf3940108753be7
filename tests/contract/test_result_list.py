"""A list in Redis that behaves like a list."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskq import OptionError, PickleError, Queue, ResultList
from taskq.redis import connection
from taskq.testing import drain
from tests import jobs
from tests.waiting import HANGS

LETTERS = list("abcdefghij")


@pytest.fixture
def letters(any_queue: Queue) -> ResultList:
    results = any_queue.result_list("letters")
    results.extend(LETTERS)
    return results


def test_it_is_a_sequence(letters: ResultList) -> None:
    assert isinstance(letters, Sequence)
    assert list(letters) == LETTERS
    assert len(letters) == 10
    assert "c" in letters
    assert "z" not in letters
    assert letters.index("c") == 2
    assert letters.count("c") == 1
    assert list(reversed(letters)) == LETTERS[::-1]


def test_a_list_that_does_not_exist_is_empty(any_queue: Queue) -> None:
    results = any_queue.result_list("nothing")
    assert len(results) == 0
    assert not results
    assert list(results) == results[:] == []
    assert any_queue.connection.keys("*") == []


bounds = st.none() | st.integers(-25, 25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bounds, bounds, st.none() | st.integers(-12, 12).filter(bool))
def test_slices(letters: ResultList, start: int | None, stop: int | None, step: int | None) -> None:
    assert letters[start:stop:step] == LETTERS[start:stop:step]


@pytest.mark.parametrize("index", range(-10, 10))
def test_items(letters: ResultList, index: int) -> None:
    assert letters[index] == LETTERS[index]


@pytest.mark.parametrize("index", [10, -11, 1000, -1000, 2**70, -(2**70)])
def test_out_of_range(letters: ResultList, index: int) -> None:
    with pytest.raises(IndexError):
        letters[index]


@pytest.mark.parametrize("index", ["1", 1.0, None, (1, 2)])
def test_not_an_index(letters: ResultList, index: Any) -> None:
    with pytest.raises(TypeError):
        letters[index]


def test_a_step_of_zero(letters: ResultList) -> None:
    with pytest.raises(ValueError, match="zero"):
        letters[::0]


@pytest.mark.parametrize("value", [None, 0, "", b"\0\n", [1, [2]], {"a": (1,)}, jobs.square, range(3)])
def test_values_of_any_kind(any_queue: Queue, value: Any) -> None:
    results = any_queue.result_list("any")
    results.append(value)
    assert list(results) == [value]
    assert results[0] == value


def test_append_is_seen_by_all(any_queue: Queue) -> None:
    one, other = any_queue.result_list("shared"), any_queue.result_list("shared")
    one.append(1)
    other.append(2)
    assert list(one) == list(other) == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_extend_and_read_in_batches(any_queue: Queue, count: int) -> None:
    results = any_queue.result_list("many")
    results.extend(n for n in range(count))
    assert len(results) == count
    assert list(results) == list(range(count))


def test_what_is_appended_meanwhile_is_seen(any_queue: Queue) -> None:
    results = any_queue.result_list("growing")
    results.extend(range(1000))
    iterator = iter(results)
    assert next(iterator) == 0
    results.append("new")
    assert list(iterator)[-1] == "new"


def test_an_append_that_cannot_be_pickled_adds_nothing(letters: ResultList) -> None:
    with pytest.raises(PickleError):
        letters.append(threading.Lock())
    assert list(letters) == LETTERS


def test_an_extend_that_cannot_be_pickled_keeps_whole_batches(any_queue: Queue) -> None:
    def values() -> Iterator[Any]:
        yield from range(1500)
        yield threading.Lock()

    results = any_queue.result_list("partly")
    with pytest.raises(PickleError):
        results.extend(values())
    assert list(results) == list(range(1000))


def test_clear(letters: ResultList) -> None:
    letters.clear()
    assert len(letters) == 0
    assert not letters.connection.exists(letters.key)
    letters.append("a")
    assert list(letters) == ["a"]


@pytest.mark.parametrize(("count", "text"), [(0, "0 items"), (1, "1 item"), (2, "2 items")])
def test_repr(any_queue: Queue, count: int, text: str) -> None:
    results = any_queue.result_list("sums")
    results.extend(range(count))
    assert repr(results) == f"<ResultList 'taskq:list:{{sums}}' {text}>"


def test_it_is_pickled_by_its_key(letters: ResultList, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it arrives, it uses that process's own connection."""
    arrived = pickle.loads(pickle.dumps(letters))
    monkeypatch.setattr(connection, "shared", lambda: letters.connection)
    assert arrived.key == letters.key
    assert list(arrived) == LETTERS


def test_jobs_append_to_it(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: any_queue.connection)
    shared = any_queue.result_list("sums")
    for n in range(3):
        any_queue.enqueue(jobs.append_to, shared, n)
    drain(any_queue)
    assert list(shared) == [0, 1, 2]


def test_no_connection_is_kept_in_a_pickle(letters: ResultList) -> None:
    assert b"redis." not in pickle.dumps(letters)


@pytest.mark.parametrize("name", ["", "a b", "a{b}", "ä", "a\n"])
def test_bad_names(any_queue: Queue, name: str) -> None:
    with pytest.raises(OptionError, match="a result list's name"):
        any_queue.result_list(name)


def test_lists_and_maps_do_not_share_keys(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [3])
    drain(any_queue)
    any_queue.result_list(job.id).append("x")
    assert job.get(timeout=HANGS) == [9]
