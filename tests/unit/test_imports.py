"""Which functions may be called by name."""

from __future__ import annotations

import functools
import operator
import os
import pickle
from collections.abc import Iterator

import pytest

from taskq import FunctionError
from taskq.errors import ImportRefusedError
from taskq.payload import codec, imports
from taskq.payload.function import Function
from taskq.redis import refusals
from tests import jobs
from tests.allowed import Kind


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


ALLOWED = [
    "tests.allowed.square", "tests.allowed.Kind.free", "tests.allowed.Kind.make", "tests.allowed.Kind",
    "tests.allowed.part", "tests.allowed.cached", "tests.allowed.caller",
]  # fmt: skip
LED_ELSEWHERE = [
    ("tests.allowed.os.system", "posix.system"), ("tests.allowed.loads", "_pickle.loads"),
    ("tests.allowed.imported", "tests.jobs.square"), ("tests.allowed.os", "a module"),
    ("tests.allowed.square.__getattribute__", "what Python itself put there"), ("tests.allowed.table", "a dict"),
    ("tests.allowed.square.__call__", "what Python itself put there"), ("tests.allowed.Kind.bound", "os.getenv"),
    ("tests.allowed.__loader__.exec_module", "what Python itself put there"),
    ("tests.allowed.table.update", "dict.update"),
    ("tests.allowed.__builtins__", "what Python itself put there"), ("tests.allowed.part_of_another", "os.getenv"),
    ("tests.allowed.Any", "typing"), ("tests.allowed.functools.reduce", "_functools.reduce"),
    ("tests.allowed.Kind.fromkeys", "dict.fromkeys"), ("tests.allowed.caller.update", "dict.update"),
]  # fmt: skip


@pytest.mark.parametrize("path", ALLOWED)
def test_what_a_module_defines(path: str) -> None:
    imports.allow(["tests.allowed.*"])
    assert callable(imports.resolve(path))
    assert callable(Function.of(path).load())


@pytest.mark.parametrize(("path", "where"), LED_ELSEWHERE)
def test_what_a_name_leads_to(path: str, where: str) -> None:
    imports.allow(["tests.allowed.*"])
    with pytest.raises(ImportRefusedError, match=rf"{path} may not be called by this worker, for it .*{where}"):
        Function.of(path).load()


@pytest.mark.parametrize(("module", "name"), [path.rsplit(".", 1) for path, _where in LED_ELSEWHERE[:4]])
def test_what_a_name_in_a_pickle_leads_to(module: str, name: str) -> None:
    imports.allow(["tests.allowed.*"])
    module, _, deeper = module.partition(".os") if module.endswith(".os") else (module, "", "")
    name = f"os.{name}" if module != "tests.allowed" or name == "system" else name
    with pytest.raises(ImportRefusedError):
        Function("x", by_reference(module + deeper, name), by_value=False).load()


def by_reference(module: str, name: str) -> bytes:
    """The pickle of what has this name, whatever that is."""
    texts = [text.encode() for text in (module, name)]
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text for text in texts) + b"\x93."


def test_who_means_a_name_gives_it_in_full() -> None:
    imports.allow(["tests.allowed.loads", "tests.allowed.os", "os.*"])
    assert Function.of("tests.allowed.loads").load() is pickle.loads
    for refused in ("tests.allowed.os", "os.getpid", "tests.allowed.square"):
        with pytest.raises(ImportRefusedError):
            Function.of(refused).load()
    assert Function.of("os.getenv").load()


def test_methods_and_objects() -> None:
    imports.allow(["tests.allowed.*"])
    for allowed in (Kind().double, Kind.make, Kind(), functools.partial(Kind().double, 1)):
        assert Function.of(allowed).load()
    for refused in (Kind().update, Kind(os.getenv).held, Kind().get, functools.partial(Kind().update, a=1)):
        with pytest.raises(ImportRefusedError):
            Function.of(refused).load()


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
