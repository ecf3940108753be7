"""The one codec: values, code by value, what can't travel."""

from __future__ import annotations

import functools
import io
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskq
from taskq import PickleError, TaskqError, UnsendableError
from taskq.payload import codec
from tests import jobs
from tests.unit import source

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


class Refuses:
    """Can't be pickled, and says so with an error of its own."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


@given(values)
def test_round_trip(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value


def test_plain_pickle_reads_what_was_written() -> None:
    assert pickle.loads(codec.dumps([1, "two"])) == [1, "two"]


@pytest.mark.parametrize(
    "data", [b"", b"no", b"\x80\x06", b"\x80\x05K", b"h\x05.", b"I9x\n.", b"\x8d" + b"\xff" * 8]
)
def test_what_is_no_pickle_is_damage(data: bytes) -> None:
    with pytest.raises(taskq.DamagedError, match="unpickled"):
        codec.loads(data)


class Fails:
    """Can't be unpickled, and says so with an error of its own."""

    def __reduce__(self) -> Any:
        return Fails.fail, ()

    @staticmethod
    def fail() -> None:
        raise ValueError("not me")


class Grown:
    """Needs more arguments than it was pickled with."""

    def __init__(self, *_: int) -> None: ...
    def __reduce__(self) -> Any:
        return Grown, ()


def test_a_class_that_has_changed_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.dumps(Grown())
    monkeypatch.setattr(Grown, "__init__", lambda _self, _needed: None)
    with pytest.raises(TypeError):  # raised before any line of it runs
        codec.loads(data)


def test_an_error_of_the_values_class_is_its_own() -> None:
    with pytest.raises(ValueError, match="not me"):
        codec.loads(codec.dumps(Fails()))


def test_importable_functions_travel_as_a_name() -> None:
    data = codec.dumps(jobs.square)
    assert not codec.holds_code(data)
    assert b"tests.jobs" in data
    assert codec.loads(data) is jobs.square


def test_lambdas_travel_as_code() -> None:
    offset = 5
    data = codec.dumps(lambda n: n + offset)
    assert codec.holds_code(data)
    assert codec.loads(data)(2) == 7


def test_functions_of_main_travel_as_code(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = source.in_main("def compute(n): return n + 1", "compute")
    monkeypatch.setattr(sys.modules["__main__"], "compute", compute, raising=False)
    data = codec.dumps(compute)
    monkeypatch.delattr(sys.modules["__main__"], "compute")
    assert codec.holds_code(data)
    assert codec.loads(data)(1) == 2


def test_instances_of_classes_of_main_bring_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    point_class = source.in_main("class Point:\n    def double(self): return 2 * self.x", "Point")
    monkeypatch.setattr(sys.modules["__main__"], "Point", point_class, raising=False)
    point = point_class()
    point.x = 21
    data = codec.dumps([point])
    monkeypatch.delattr(sys.modules["__main__"], "Point")
    assert codec.loads(data)[0].double() == 42


def test_modules_registered_with_cloudpickle_travel_as_code() -> None:
    cloudpickle.register_pickle_by_value(jobs)
    try:
        assert codec.holds_code(codec.dumps(jobs.square))
    finally:
        cloudpickle.unregister_pickle_by_value(jobs)
    assert not codec.holds_code(codec.dumps(jobs.square))


def test_text_that_mentions_main_is_just_text() -> None:
    text = 'if __name__ == "__main__": main()'
    data = codec.dumps(text)
    assert codec.loads(data) == text
    assert not codec.holds_code(data)


def deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in "abc"), Refuses(), sys.stdout, deep(100_000)],
    ids=["lock", "generator", "own-error", "file", "deep"],
)  # fmt: skip
def test_what_cannot_travel(value: Any) -> None:
    with pytest.raises(PickleError) as caught:
        codec.dumps(value, "item 7")
    assert str(caught.value).startswith(f"item 7 ({type(value).__name__}) can't be pickled")
    assert isinstance(caught.value, TaskqError)
    assert caught.value.__cause__ is not None


def test_the_serializer_is_one_for_rq() -> None:
    value = ("tests.jobs.square", None, (1,), {"a": b"b"})
    assert codec.Serializer.loads(codec.Serializer.dumps(value)) == value


def test_the_serializer_names_the_job() -> None:
    with pytest.raises(PickleError, match="the job's function or one of its arguments"):
        codec.Serializer.dumps(threading.Lock())


class Slotted:
    __slots__ = ("held", "other")

    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda stuck: [1, {"a": stuck}], "[1]['a']"),
        (lambda stuck: jobs.Holder(jobs.Holder(stuck)), ".held.held"),
        (Slotted, ".held"),
        (lambda stuck: functools.partial(jobs.add, 1, b=stuck), ".keywords['b']"),
    ],
)
@pytest.mark.parametrize("make", [threading.Lock, lambda: (n for n in "abc"), socket.socket, Path(__file__).open])
def test_what_cannot_travel_is_named(wrap: Callable[[Any], Any], path: str, make: Callable[[], Any]) -> None:
    stuck = make()
    with closing(stuck) if hasattr(stuck, "close") else nullcontext(), pytest.raises(PickleError) as caught:
        codec.dumps(wrap(stuck), "item 7")
    assert str(caught.value).startswith(f"item 7{path} ({type(stuck).__name__}) can't be pickled")


def test_the_serializer_names_the_argument() -> None:
    data = ("tests.jobs.add", None, (1, [threading.Lock()]), {})
    with pytest.raises(UnsendableError, match=r"^argument 1\[0\] of tests.jobs.add \(lock\) can't be pickled"):
        codec.Serializer.dumps(data)
    data = ("tests.jobs.add", None, (1,), {"b": jobs.Holder(threading.Lock())})
    with pytest.raises(UnsendableError, match=r"^argument 'b'.held of tests.jobs.add \(lock\) can't be pickled"):
        codec.Serializer.dumps(data)


def test_text_streams_that_are_no_files_travel(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for stream in (sys.stdout, sys.stderr):
            assert codec.loads(codec.dumps([stream, io.StringIO("x")]))[0] is stream
