"""What tells one version of a function from another."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis
from rq.decorators import job as rq_job

from taskq.errors import OptionError
from taskq.payload import code_hash
from taskq.payload.function import Function
from tests import jobs

FIRST = """
LIMIT = 3

def helper(n):
    return n + 1

class Tool:
    def use(self, n):
        return n * 2

def compute(n, by=2):
    return helper(n) * by if n in {"a", "b"} else Tool().use(n)
"""


def of(source: str, name: str = "compute") -> str:
    names: dict[str, Any] = {"__name__": "somewhere"}
    exec(source, names)  # noqa: S102 - a module that is changed from test to test
    return code_hash.of(names[name])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return helper(n)", "    # why\n\n    return helper(n)"),
        ("def compute(n, by=2):\n", 'def compute(n, by=2):\n    """What it does."""\n'),
        ("LIMIT = 3", "LIMIT = 4"),
    ],
)
def test_what_does_not_count(old: str, new: str) -> None:
    assert of(FIRST.replace(old, new)) == of(FIRST)


def test_a_docstring_that_is_changed() -> None:
    one, other = (FIRST.replace("by=2):\n", f'by=2):\n    """{text}."""\n') for text in ("One", "Other"))
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("old", "new"),
    [("by=2", "by=3"), ('{"a", "b"}', '{"a", "c"}'), ("n + 1", "n + 2"), ("n * 2", "n * 3"),
     ("helper(n) *", "helper(n) -")],
)  # fmt: skip
def test_what_counts(old: str, new: str) -> None:
    assert FIRST.replace(old, new) != FIRST
    assert of(FIRST.replace(old, new)) != of(FIRST)


def closed_over(data: Any) -> Callable[[int], Any]:
    return lambda n: (data, n)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (closed_over(1), closed_over(2)),
        (closed_over([{"a": 1}]), closed_over([{"a": 2}])),
        (functools.partial(jobs.add, 1), functools.partial(jobs.add, 2)),
        (functools.partial(jobs.add, b=1), functools.partial(jobs.add, b=2)),
        (math.sqrt, math.sin),
        ("a.b", "a.c"),
        ([1].count, [1].index),
    ],
)
def test_two_that_differ(one: Any, other: Any) -> None:
    assert code_hash.of(one) != code_hash.of(other)


def test_two_that_are_alike() -> None:
    assert code_hash.of(closed_over({"b", "a"})) == code_hash.of(closed_over({"a", "b"}))
    assert code_hash.of(closed_over(threading.Lock())) == code_hash.of(closed_over(threading.Lock()))
    assert code_hash.of(functools.lru_cache(jobs.square)) == code_hash.of(jobs.square)


def test_functions_that_call_each_other() -> None:
    source = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)"
    assert of(source, "even") == of(source, "even") != of(source, "odd")
    assert of(source.replace("n != 0", "n > 0"), "even") != of(source, "even")


def test_objects_that_can_be_called() -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, m: int) -> int:
            return self.n + m

        def add(self, m: int) -> int:
            return self.n + m

    jobs.Adder = Adder  # type: ignore[attr-defined]
    Adder.__qualname__, Adder.__module__ = "Adder", jobs.__name__
    try:
        assert code_hash.of(Adder(1)) == code_hash.of(Adder(1)) != code_hash.of(Adder(2))
        assert code_hash.of(Adder(1).add) == code_hash.of(Adder(1).add) != code_hash.of(Adder(2).add)
    finally:
        del jobs.Adder


# -- what belongs to a function, at any depth ------------------------------------------------------------------

DEEP = """
import functools
import threading

class Base:
    def scale(self, n):
        return n * 2

class Model(Base):
    FACTOR = 5

    def predict(self, n):
        return self.scale(n) + self.shift(n)

    @functools.lru_cache
    def shift(self, n):
        return n + 3

    @staticmethod
    def other(n):
        return n - 4

    class Part:
        def part(self):
            return 6

def scorer(n):
    return n + 7

def apply(with_, n):
    return with_(n)

by_name = functools.partial(apply, scorer)

def compute(n):
    return by_name(n)

in_arguments = functools.partial(apply, scorer)
in_a_list = functools.partial(apply, [0, {"score": scorer}])
beside_a_lock = functools.partial(apply, [threading.Lock(), lambda n: n + 8, 9])
in_a_set = functools.partial(apply, frozenset([scorer, Model]))
method = Model().predict
instance = functools.partial(apply, Model())
cyclic = [10]
cyclic.append(cyclic)
loop = functools.partial(apply, cyclic)
table = {"a": 11}.get
"""


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("compute", "n + 7", "n + 8"),
        ("in_arguments", "n + 7", "n + 8"),
        ("in_a_list", "n + 7", "n + 8"),
        ("in_a_set", "n + 7", "n + 8"),
        ("in_a_set", "n * 2", "n * 3"),
        ("beside_a_lock", "n + 8", "n - 8"),
        ("beside_a_lock", "9]", "10]"),
        ("method", "n * 2", "n * 3"),
        ("method", "n + 3", "n + 4"),
        ("method", "n - 4", "n - 5"),
        ("method", "FACTOR = 5", "FACTOR = 6"),
        ("method", "return 6", "return 7"),
        ("instance", "n * 2", "n * 3"),
        ("loop", "[10]", "[11]"),
        ("table", "11}", "12}"),
    ],
)
def test_what_belongs_to_it_counts_at_any_depth(name: str, old: str, new: str) -> None:
    assert DEEP.count(old) == 1
    assert of(DEEP, name) == of(DEEP, name) != of(DEEP.replace(old, new), name)


EDITS = {
    "value of an enum": ("class F(enum.Enum):\n A = 2\ndef f(n): return F.A.value * n", "2", "3"),
    "value of an IntEnum": ("class F(enum.IntEnum):\n A = 2\ndef f(n): return F.A * n", "2", "3"),
    "function of a property": (
        "class F:\n @property\n def x(self): return 2\ndef f(n): return F().x * n", "2", "3",
    ),
    "setter": (
        ("class F:\n x = property(None, lambda self, v: vars(self).update(y=v * 2))\n"
        "def f(n):\n o = F()\n o.x = n\n return o.y"),
        "v * 2", "v * 3",
    ),
    "metaclass": (
        "class M(type):\n def g(cls, n): return n * 2\nclass F(metaclass=M): pass\ndef f(n): return F.g(n)",
        "n * 2", "n * 3",
    ),
    "set of a class": ("class F:\n T = frozenset({2})\ndef f(n): return n * max(F.T)", "2", "3"),
    "number of a class": ("class F:\n T = decimal.Decimal('2')\ndef f(n): return n * F.T", "2", "3"),
    "what a class has decorated": (
        ("class D:\n def __init__(self, fn): self.fn = fn\n def __call__(self, n): return self.fn(n)\n"
        "@D\ndef h(n): return n * 2\ndef f(n): return h(n)"),
        "n * 2", "n * 3",
    ),
    "the decorating class": (
        ("class D:\n def __init__(self, fn): self.fn = fn\n def __call__(self, n): return self.fn(n) + 2\n"
        "@D\ndef h(n): return n\ndef f(n): return h(n)"),
        "+ 2", "+ 3",
    ),
    "what is cached twice": (
        "@functools.cache\n@functools.cache\ndef h(n): return n * 2\ndef f(n): return h(n)", "2", "3",
    ),
    "a docstring that is returned": ("def f(n):\n '2'\n return '2'", "2", "3"),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_what_its_module_holds_of_it_counts(case: str) -> None:
    code, old, new = EDITS[case]
    code = f"import decimal, enum, functools\n{code}"
    assert of(code, "f") == of(code, "f") != of(code.replace(old, new), "f")


def test_a_table_that_may_be_filled_meanwhile_does_not_count() -> None:
    code = "class F:\n seen = {}\ndef f(n): return F.seen.setdefault(n, 2)"
    assert of(code, "f") == of(code.replace("{}", "{1: 2}"), "f")


def test_arrays_count_and_not_who_makes_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.arange(6.0)
    ones, others = functools.partial(jobs.add, [table]), functools.partial(jobs.add, [table + 1])
    before = code_hash.of(ones)
    assert before != code_hash.of(others)
    maker = table.__reduce_ex__(5)[0]
    monkeypatch.setattr(maker, "__code__", (lambda *_args: None).__code__)
    assert code_hash.of(ones) == before


# -- objects that can be called, and what bears another's name ----------------------------------------------

OBJECTS = """
import functools
import types

import numpy as np

class Scaled:
    def __init__(self, function, by):
        functools.update_wrapper(self, function)
        self.function, self.by = function, by

    def __call__(self, n):
        return self.function(n) * self.by + 1000

class Part(functools.partial):
    def __call__(self, n):
        return super().__call__(n) + 2000

def plain(n):
    return n + 5

def make_named(n):
    def named(m):
        return m + named.by + 4000
    named.by = n
    return named

class Holder:
    @functools.partial(Scaled, by=6)
    def run(self):
        return 3000

def uses(n):
    return Holder().run()

def holds(data):
    return lambda n: (data, n)

vectorized = np.vectorize(plain)
vectorized_lambda = np.vectorize(lambda n: n + 11)
with_otypes = np.vectorize(lambda n: n, otypes=["f4"])
scaled = Scaled(plain, by=7)
part = Part(pow, 8)
tagged = Part(pow, 1)
tagged.tag = 12
attribute = make_named(9)
view = holds(memoryview(b"10"))
types_of = holds(types.MappingProxyType({"a": 13}))
wrapped = functools.wraps(plain)(lambda n: wrapped.__wrapped__(n))
"""


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("vectorized", "n + 5", "n + 6"),
        ("vectorized_lambda", "n + 11", "n + 12"),
        ("with_otypes", '"f4"', '"f8"'),
        ("scaled", "by=7", "by=8"),
        ("scaled", "n + 5", "n + 6"),
        ("scaled", "+ 1000", "- 1000"),
        ("part", "pow, 8", "pow, 9"),
        ("part", "+ 2000", "- 2000"),
        ("tagged", "tag = 12", "tag = 13"),
        ("attribute", "make_named(9)", "make_named(10)"),
        ("attribute", "+ 4000", "- 4000"),
        ("uses", "3000", "3001"),
        ("uses", "by=6", "by=7"),
        ("view", 'b"10"', 'b"11"'),
        ("types_of", "13}", "14}"),
        ("wrapped", "n + 5", "n + 6"),
    ],
)
def test_no_object_is_known_by_a_name_that_it_bears(name: str, old: str, new: str) -> None:
    assert OBJECTS.count(old) == 1
    assert of(OBJECTS, name) == of(OBJECTS, name) != of(OBJECTS.replace(old, new), name)


def test_a_module_in_a_closure() -> None:
    one, same, other = (code_hash.of(closed_over(module)) for module in (math, math, functools))
    assert one == same != other


def test_a_function_whose_code_travels_apart() -> None:
    one, other = (Function.of(functools.partial(jobs.add, bytes([n]) * (1 << 21)), share=True) for n in (1, 2))
    assert one.code == other.code == b""
    assert code_hash.of(one) != code_hash.of(other)


def test_what_rq_hangs_on_a_function_is_not_read() -> None:
    """Its connection is another in each run."""
    one, other = (rq_job("default", connection=redis.Redis(port=port))(jobs.square) for port in (1, 2))
    try:
        assert one.__closure__ is None
        assert one.delay is other.delay
        before = code_hash.of(one)
        del one.delay, one.enqueue
        rq_job("default", connection=redis.Redis(port=3))(jobs.square)
        assert code_hash.of(jobs.square) == before
    finally:
        vars(jobs.square).clear()


class Closed:
    def __call__(self, n: int) -> int:
        return n

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


@pytest.mark.parametrize(
    "target",
    [
        Closed(),
        np.frompyfunc(lambda n: n, 1, 1),
        closed_over([Closed()]),
        closed_over([np.frompyfunc(lambda n: n, 1, 1), 1]),
        functools.partial(jobs.add, np.frompyfunc(lambda n: n, 1, 1)),
    ],
)
def test_what_can_not_be_told_from_others_is_an_error(target: Any) -> None:
    with pytest.raises(OptionError, match=r"can't be told from another one.*can't be pickled.*by its path"):
        code_hash.of(target)
