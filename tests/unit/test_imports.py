"""Which functions may be called by name."""

from __future__ import annotations

import functools
import operator
import pickle
from collections.abc import Iterator

import pytest

from taskq import FunctionError
from taskq.errors import ImportRefusedError
from taskq.payload import codec, imports
from taskq.payload.function import Function
from taskq.redis import refusals
from tests import jobs


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    imports.allow(())


@pytest.mark.parametrize(
    ("patterns", "path", "allowed"),
    [
        ((), "os.system", True),
        (("tasks.*",), "tasks.square", True),
        (("tasks.*",), "tasks.deep.er.square", True),
        (("tasks.square",), "tasks.square", True),
        (("tasks.square",), "tasks.squares", False),
        (("tasks.*",), "mytasks.square", False),
        (("tasks.*",), "tasks", False),
        (("tasks.*",), "Tasks.square", False),
        (("a.*", "b.c"), "b.c", True),
        (("a.*", "b.c"), "os.system", False),
        (("*",), "os.system", True),
    ],
)
def test_patterns(patterns: tuple[str, ...], path: str, allowed: bool) -> None:
    imports.allow(patterns)
    if allowed:
        imports.check(path)
        return
    with pytest.raises(ImportRefusedError, match=f"{path} may not be called by this worker.*TASKQ_ALLOW_IMPORT"):
        imports.check(path)


def test_functions_by_name_and_by_value() -> None:
    imports.allow(["tests.jobs.*", "_operator.neg"])
    assert Function.of("tests.jobs.square").load()(3) == 9
    assert Function.of(jobs.square).load()(3) == 9
    assert Function.of(functools.partial(jobs.add, 1)).load()(3) == 4
    assert Function.of(operator.neg).load()(3) == -3
    for refused in ("os.system", operator.pos, functools.partial(operator.pos), lambda n: n):
        with pytest.raises(ImportRefusedError):
            Function.of(refused).load()
    imports.allow([f"{imports.BY_VALUE}.*"])
    assert Function.of(lambda n: n).load()(3) == 3


def test_a_refused_module_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    imports.allow(["tests.jobs.*"])
    pickled = pickle.dumps(jobs.square).replace(b"tests.jobs", b"antigravity"[:10])
    for function in (Function("antigravity.x", None, by_value=False), Function("x", pickled, by_value=False)):
        with pytest.raises(ImportRefusedError):
            function.load()


def test_what_a_name_says_of_a_pickle_does_not_count() -> None:
    imports.allow(["tests.jobs.*"])
    disguised = Function("tests.jobs.square", codec.dumps(operator.pos), by_value=False)
    with pytest.raises(ImportRefusedError, match="pos"):
        disguised.load()


def test_refusals() -> None:
    error = ImportRefusedError("no")
    assert refusals.of(error) == refusals.IMPORT
    outer = FunctionError("outer")
    outer.__cause__ = error
    assert refusals.of(outer) == refusals.IMPORT
    assert refusals.of(ValueError()) == refusals.of(None) == ""
