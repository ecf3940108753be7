"""What of a script goes by value, though pickle has but a name for it."""

from __future__ import annotations

import functools
import os
import pickle
import re
import sys
from pathlib import Path

import pytest

from taskq import PickleError
from taskq.payload import codec
from taskq.payload.function import Function
from tests.unit import script, source

SCRIPT = """
import collections, contextlib, enum, functools, math, operator, pickle, sys, typing, weakref
from dataclasses import dataclass
from taskq.payload.function import Function

@functools.lru_cache(maxsize=2, typed=True)
def cached(n):
    return n + 1
cached.of = "the wrapper"

@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

def calls_cached(n):
    return cached(n) + fibonacci(n), cached.of, cached.cache_parameters(), cached.cache_info().currsize

class Cached:
    @functools.lru_cache
    def method(self, n):
        return n + 1
    @classmethod
    @functools.cache
    def of_class(cls, n):
        return cls.__name__, n
    @staticmethod
    @functools.cache
    def static(n):
        return n + 2
    @functools.cached_property
    def value(self):
        "Its text."
        return [3]
    def uses_property(self, n):
        return self.value + [n], self.value is self.value, type(self).value.__doc__

class MyProperty(functools.cached_property):
    pass

class WithMyProperty:
    @MyProperty
    def value(self):
        return 4
    def run(self, n):
        return self.value + n

@functools.singledispatch
def dispatches(n):
    return "object", n
dispatches.of = "the wrapper"

@dispatches.register
def _(n: list):
    return [dispatches(one) for one in n]

class Own:
    pass

@dispatches.register
def _(n: Own):
    return "own"

def calls_dispatching(n):
    return dispatches([n, Own(), "x"]), dispatches.of

class Dispatches:
    @functools.singledispatchmethod
    def run(self, n):
        return "object", n
    @run.register
    def _(self, n: int):
        return "int", n
    half = functools.partialmethod(lambda self, a, b: (a, b), 1)

def doubled(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 2 * function(*args)
    return wrapper

@doubled
def decorated(n):
    return cached(n)

class Decorator:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
    def __call__(self, n):
        return self.function(n), self.__name__

@Decorator
def decorated_by_class(n):
    return n

@contextlib.contextmanager
def opened(n):
    yield n

def uses_context(n):
    with opened(n) as value:
        return value

UserId = typing.NewType("UserId", int)
P = typing.ParamSpec("P")
T = typing.TypeVar("T")

def annotated(n: UserId, call: typing.Callable[P, T] = len) -> UserId:
    return UserId(n), annotated.__annotations__["n"].__name__, UserId.__supertype__

@dataclass
class Annotated:
    n: UserId

seen = weakref.WeakKeyDictionary()
known = weakref.WeakValueDictionary({1: Own})

def uses_weak(n):
    seen[Own] = n
    return list(seen.values()), known[1].__name__

def uses_annotated(n):
    return Annotated(n).n

WAYS = {
    "cached": cached, "fibonacci": fibonacci, "calls_cached": calls_cached, "cached_method": Cached().method,
    "cached_classmethod": Cached.of_class, "cached_staticmethod": Cached.static,
    "uses_property": Cached().uses_property, "own_property": WithMyProperty().run, "dispatches": dispatches,
    "calls_dispatching": calls_dispatching, "dispatching_method": Dispatches().run,
    "partialmethod": Dispatches().half, "decorated": decorated, "decorated_by_class": decorated_by_class,
    "partial": functools.partial(operator.call, fibonacci), "uses_context": uses_context, "annotated": annotated,
    "uses_annotated": uses_annotated, "uses_weak": uses_weak,
    "cached_import": functools.cache(math.sqrt), "lambda": lambda n: cached(n),
}
cached(1)  # what is in the cache stays here

def pushed(way):
    try:
        return pickle.dumps(Function.of(way))
    except Exception as error:
        return pickle.dumps(functools.partial(repr, error))

if __name__ == "__main__":
    travels = {name: pushed(way) for name, way in WAYS.items()}
    sys.stdout.buffer.write(pickle.dumps({name: (data, repr(WAYS[name](7))) for name, data in travels.items()}))
"""
IN_A_WORKER = """
import pickle, sys
answers = {}
for name, (data, here) in pickle.loads(sys.stdin.buffer.read()).items():
    try:
        answers[name] = repr(pickle.loads(data)(7)), here
    except Exception as error:
        answers[name] = repr(error), here
sys.stdout.buffer.write(pickle.dumps(answers))
"""
WAYS = re.findall(r'"(\w+)": ', SCRIPT[SCRIPT.index("WAYS = ") :])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What each of the ways gives in a worker, and in the script itself."""
    path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(SCRIPT)
    found: dict[str, tuple[str, str]] = pickle.loads(script.run(IN_A_WORKER, stdin=script.run(path)))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_it_works_in_a_worker_as_it_does_here(answers: dict[str, tuple[str, str]], way: str) -> None:
    in_a_worker, here = answers[way]
    # What had come into the script's own cache by then is not in the worker's.
    assert in_a_worker == (here.replace("True}, 2)", "True}, 1)") if way == "calls_cached" else here)


def test_what_is_importable_goes_by_name() -> None:
    assert not Function.of(os.path.normpath).by_value
    data = codec.dumps([re.compile("x"), functools.partial(os.path.join, "a"), cached_here])
    assert not codec.holds_code(data)
    assert codec.loads(data)[2] is cached_here


@functools.cache
def cached_here(n: int) -> int:
    return n


class Thing:
    """Pickles as the name that an instance of it has."""

    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[no-any-return, attr-defined]


def test_what_has_but_a_name_in_main_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing()
    thing.__qualname__, thing.__module__ = "thing", "__main__"  # type: ignore[attr-defined, method-assign]
    monkeypatch.setattr(sys.modules["__main__"], "thing", thing, raising=False)
    with pytest.raises(PickleError, match=r"thing \(Thing\) is of __main__"):
        codec.dumps([thing])
    function = source.in_main("def f(n): return thing", "f")
    function.__globals__["thing"] = thing
    with pytest.raises(PickleError, match=r"thing \(Thing\) is of __main__"):
        Function.of(function)


SPAWNS = """
import functools, multiprocessing, pickle, sys
from taskq.payload import codec
from taskq.payload.function import Function

@functools.cache
def helper(n):
    return n + 1

class Point:
    def __init__(self, n):
        self.n = helper(n)

def function(n):
    return Point(n).n

def push(path, function):
    with open(path, "wb") as file:
        file.write(pickle.dumps([Function.of(function), Function.of(helper), codec.dumps(Point(5))]))

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=push, args=(sys.argv[1], function))
    child.start()
    child.join()
"""


def test_a_child_that_multiprocessing_has_spawned_may_push(tmp_path: Path) -> None:
    path, pushed = tmp_path / "script.py", tmp_path / "pushed"
    path.write_text(SPAWNS)
    script.run(path, str(pushed))
    function, helper, point = pickle.loads(pushed.read_bytes())
    assert (function.by_value, function(1), helper(2)) == (True, 2, 3)
    assert codec.loads(point).n == 6
