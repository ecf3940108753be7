"""What a program sees of taskq, and what it costs to import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from typing import Any

import pytest

import taskq
from tests.unit import source
from tests.waiting import HANGS

LOOK = """
import json, sys, types
import cloudpickle, redis, rq  # rq itself imports multiprocessing
before = set(sys.modules)
import taskq
modules = sorted(set(sys.modules) - before)
names = {name: isinstance(value, types.ModuleType) for name, value in vars(taskq).items() if name[0] != "_"}
print(json.dumps({"modules": modules, "names": names}))
"""


@pytest.fixture(scope="module")
def fresh() -> Any:
    """What ``import taskq`` brings to a new interpreter: modules, and names (whether each is a module)."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=source.ROOT, capture_output=True, check=True, timeout=HANGS
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", taskq.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(taskq, name) is not None


def test_star_import() -> None:
    scope: dict[str, Any] = {}
    exec("from taskq import *", scope)  # noqa: S102 - there is no other way to do it in a function
    assert set(scope) - {"__builtins__"} == set(taskq.__all__)


def test_nothing_else_is_public(fresh: Any) -> None:
    names = {name for name, is_module in fresh["names"].items() if not is_module}
    assert names | set(taskq._LATE) == set(taskq.__all__)


def test_other_names_are_its_own_modules(fresh: Any) -> None:
    for name in (name for name, is_module in fresh["names"].items() if is_module):
        assert f"taskq.{name}" in fresh["modules"]


def test_names_are_sorted_and_listed_once() -> None:
    assert sorted(set(taskq.__all__)) == taskq.__all__


@pytest.mark.parametrize("name", taskq.__all__)
def test_everything_public_is_documented(name: str) -> None:
    assert getattr(taskq, name).__doc__


@pytest.mark.parametrize(
    "heavy",
    [
        "cotyledon",
        "multiprocessing",
        "taskq_workers",
        "rich",
        "numpy",
        "IPython",
        "fakeredis",
        "pytest",
        "click",
        "jinja2",
        "starlette",
    ],
)
def test_a_producer_does_not_import(heavy: str, fresh: Any) -> None:
    assert not [name for name in fresh["modules"] if name.partition(".")[0] == heavy]


def test_the_version() -> None:
    project = tomllib.loads((source.ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == taskq.__version__


def test_taskq_imports_nothing_of_the_workers() -> None:
    """Imports point one way; ``taskq.testing`` runs a real service, inside one function.

    Commands of ``taskq.contrib`` are imported by who starts a worker only.
    """
    guilty = [
        f"{path.name}: {ast.unparse(node)}"
        for path in source.files("taskq")
        if "commands" not in path.parts
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "taskq_workers" in ast.unparse(node)
    ]
    assert guilty == []
