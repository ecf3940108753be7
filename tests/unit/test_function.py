"""Functions on their way."""

from __future__ import annotations

import functools
import operator
import pickle
import sys
import threading
from typing import Any

import cloudpickle
import numpy as np
import pytest

from taskq import FunctionError, OptionError, PickleError
from taskq.payload.function import Function, display_name, for_rq
from tests import jobs
from tests.unit import source


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, n: int) -> int:
        return self.factor * n

    @classmethod
    def make(cls, n: int) -> int:
        return cls(n).factor

    @staticmethod
    def plain(n: int) -> int:
        return n + 1

    def __call__(self, n: int) -> int:
        return self.times(n)


def closure(offset: int) -> Any:
    def add(n: int) -> int:
        return n + offset

    return add


def traveled(target: Any) -> Function:
    """What arrives of a function."""
    arrived = pickle.loads(pickle.dumps(Function.of(target)))
    assert isinstance(arrived, Function)
    return arrived


def named(case: Any) -> str:
    """A test's name that is the same in each process of a run."""
    return str(case).partition(" at 0x")[0]


BY_NAME = [
    (jobs.square, 3, 9), (len, "abc", 3), (np.sqrt, 9.0, 3.0), (Scale(2).times, 3, 6), (Scale(2), 3, 6),
    (functools.partial(jobs.add, 1), 2, 3), (operator.itemgetter(1), "ab", "b"), (int, "7", 7), (Scale.make, 4, 4),
    (Scale.plain, 4, 5), ("tests.jobs.square", 4, 16), ("math.sqrt", 4, 2.0),
]  # fmt: skip
BY_VALUE = [
    (lambda n: n + 1, 1, 2), (closure(5), 1, 6), (functools.partial(lambda a, b: a - b, 5), 2, 3),
    (source.in_main("def compute(n): return n * 3", "compute"), 2, 6),
]  # fmt: skip


@pytest.mark.parametrize(("target", "argument", "result"), BY_NAME, ids=named)
def test_by_name(target: Any, argument: Any, result: Any) -> None:
    function = traveled(target)
    assert not function.by_value
    assert function(argument) == result
    assert repr(function).endswith(" by name>")


@pytest.mark.parametrize(("target", "argument", "result"), BY_VALUE)
def test_by_value(target: Any, argument: Any, result: Any) -> None:
    function = traveled(target)
    assert function.by_value
    assert function(argument) == result
    assert repr(function).endswith(" by value>")


def test_the_shells_imports_come_along() -> None:
    compute = source.in_main("import random\ndef compute(n): return random.randint(n, n)", "compute")
    assert traveled(compute)(4) == 4


def test_a_recursive_function_of_the_shell() -> None:
    factorial = source.in_main("def f(n): return n * f(n - 1) if n else 1", "f")
    assert traveled(factorial)(5) == 120


def test_keyword_arguments() -> None:
    assert traveled(jobs.add)(a=1, b=2) == 3


def test_a_function_is_prepared_once() -> None:
    function = Function.of(jobs.square)
    assert Function.of(function) is function


def test_nothing_is_loaded_before_the_call() -> None:
    function = traveled("no.such.module")  # does not raise
    with pytest.raises(FunctionError):
        function(1)


@pytest.mark.parametrize("target", [3, None, [], b"tests.jobs.square"])
def test_not_a_function(target: Any) -> None:
    with pytest.raises(OptionError, match="a function is needed"):
        Function.of(target)


@pytest.mark.parametrize("path", ["", "square"])
def test_not_a_path(path: str) -> None:
    with pytest.raises(OptionError, match="not a path such as"):
        Function.of(path)


def test_a_closure_over_a_lock_cannot_travel() -> None:
    lock = threading.Lock()
    with pytest.raises(PickleError, match=r"the function .*lock.* can't be pickled"):
        Function.of(lambda n: (lock, n))


def test_a_function_from_another_python() -> None:
    prepared = Function.of(lambda n: n)
    function = Function(prepared.name, prepared.code, by_value=True, python="2.7")
    with pytest.raises(FunctionError, match=r"from Python 2\.7 .*this worker runs Python 3\.\d+"):
        function.load()


def test_names_may_come_from_another_python() -> None:
    prepared = Function.of(jobs.square)
    assert Function(prepared.name, prepared.code, by_value=False, python="2.7")(3) == 9


def test_the_version_travels() -> None:
    function = Function("f", b"", by_value=True, python="2.7")
    assert pickle.loads(pickle.dumps(function)).python == "2.7"


@pytest.mark.parametrize("path", ["no_such_module.f", "tests.jobs.no_such_function", "tests.unit.no_such.f"])
def test_not_loadable_by_path(path: str) -> None:
    with pytest.raises(FunctionError, match=f"the function {path} can't be loaded") as caught:
        Function.of(path).load()
    assert caught.value.__cause__ is not None


def test_not_loadable_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(Function.of(jobs.square))
    monkeypatch.delattr(jobs, "square")
    with pytest.raises(FunctionError, match="the function square can't be loaded") as caught:
        pickle.loads(data).load()
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (jobs.square, "square"), (functools.partial(jobs.square), "partial(square)"), (Scale(1), "Scale"),
        (Scale(1).times, "Scale.times"), (closure(1), "closure.add"), (np.sqrt, "sqrt"), (len, "len"),
        (functools.partial(functools.partial(jobs.add, 1)), "partial(add)"), (int, "int"),
    ],
)  # fmt: skip
def test_display_names(target: Any, name: str) -> None:
    assert display_name(target) == name


# -- for RQ ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "tests.jobs.square",
        jobs.square,
        len,
        Scale(1).times,
        Scale(1),
        Scale,
        functools.partial(jobs.add, 1),
        7,
        np.sqrt,
    ],
    ids=named,
)
def test_rq_gets_what_it_can_import_as_it_is(target: Any) -> None:
    assert for_rq(target) is target


@pytest.mark.parametrize("target", [lambda n: n, closure(1), source.in_main("def f(n): return n", "f")])
def test_rq_gets_a_function_for_all_else(target: Any) -> None:
    function = for_rq(target)
    assert isinstance(function, Function)
    assert function.by_value
    assert for_rq(function) is function


def test_rq_gets_a_function_whose_name_means_another_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    was = jobs.square
    monkeypatch.setattr(jobs, "square", jobs.add)
    assert for_rq(was).by_value


def test_rq_gets_what_is_registered_by_value(request: pytest.FixtureRequest) -> None:
    cloudpickle.register_pickle_by_value(jobs)
    request.addfinalizer(lambda: cloudpickle.unregister_pickle_by_value(jobs))
    assert for_rq(jobs.square).by_value


def test_a_partial_of_the_shell_runs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ sends a callable object as an instance: our codec must bring the function in it along."""
    compute = source.in_main("def compute(a, b): return a * b", "compute")
    monkeypatch.setattr(sys.modules["__main__"], "compute", compute, raising=False)
    data = pickle.dumps(Function.of(functools.partial(compute, 2)))
    monkeypatch.delattr(sys.modules["__main__"], "compute")
    assert pickle.loads(data)(3) == 6


def test_a_large_function_is_kept_once_when_it_is_loaded_and_can_still_be_sent() -> None:
    function = Function.of(functools.partial(lambda data, n: data[n], bytes(range(256)) * 10_000))
    assert len(function.code or b"") > 2_000_000
    assert function(3) == 3
    assert len(function.code or b"") == 0
    assert traveled(function)(4) == 4
    assert function(5) == 5
