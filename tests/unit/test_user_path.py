"""Where modules are looked for: the user's for user code, ours for all else; and ``python -m taskq``."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq_workers import user_path
from tests.waiting import HANGS

OURS = ("PYTHONSAFEPATH", "PYTHONPATH")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test changes of this process; what user code has left behind is forgotten, too."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(user_path, "_left", [])
    for name in OURS:
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    yield
    assert "TASKQ_BEFORE" not in os.environ


def test_folders_are_in_front_for_the_block() -> None:
    before = sys.path[:]
    with user_path.in_front(["/one", "/two"]):
        assert sys.path == ["/one", "/two", *before]
    assert sys.path == before


def test_a_folder_that_is_there_already_comes_first_for_the_block() -> None:
    before = sys.path[:] = ["/a", "/b"]
    with user_path.in_front(["/b"]):
        assert sys.path == ["/b", "/a"]
    assert sys.path == before


def test_an_error_in_the_block_leaves_nothing_behind() -> None:
    before = sys.path[:]
    with pytest.raises(KeyError), user_path.in_front(["/one"]):
        raise KeyError
    assert sys.path == before


@pytest.mark.parametrize("where", [0, -1])
def test_what_user_code_does_to_its_path_is_there_again_in_the_next_block(where: int) -> None:
    before = sys.path[:]
    with user_path.in_front(["/one"]):
        sys.path.insert(where, "/more")
        left = sys.path[:]
    assert sys.path == before
    with user_path.in_front(["/one"]):
        assert sys.path[: len(left)] == left
        assert {"/one", *before} <= set(sys.path)
    assert user_path.all_for_user(["/two"])[: len(left)] == left


def test_a_list_of_its_own_for_sys_path() -> None:
    before = sys.path[:]
    with user_path.in_front(["/one"]):
        sys.path = ["/mine", *sys.path]
    assert sys.path == before
    assert user_path.all_for_user(["/one"])[0] == "/mine"


LOOK = (
    "import sys, os; from taskq_workers import user_path; found = sys.path[:]; user_path.forget_safe();"
    "print(found); print({name: os.environ.get(name) for name in ('PYTHONSAFEPATH', 'PYTHONPATH')})"
)


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "/his"}, {"PYTHONSAFEPATH": "1", "PYTHONPATH": "/a:/b"}])
def test_a_program_of_ours_finds_what_we_find_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sys.path[:] = ["/vendored", "", *sys.path]
    with user_path.safe(TASKQ_MORE="1"):
        assert os.environ["TASKQ_MORE"] == "1"
        told = subprocess.run(
            [sys.executable, "-c", LOOK], cwd=tmp_path, capture_output=True, text=True, timeout=HANGS, check=True
        )
    found, left = map(literal_eval, told.stdout.splitlines())
    assert found[0] == "/vendored"
    assert not {"", str(tmp_path)} & set(found)
    assert left == {name: variables.get(name) for name in OURS}
    assert "TASKQ_MORE" not in os.environ
    assert {name: os.environ.get(name) for name in OURS} == left


def test_blocks_in_each_other() -> None:
    with user_path.safe(), user_path.safe(TASKQ_MORE="1"):
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ


# -- python -m taskq --------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working directory in which any of Python's modules that we need would fail."""
    for name in ("queue", "signal", "datetime", "json", "rq", "redis", "click"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError(__name__)\n")
    return tmp_path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [["-m", "taskq"], ["-mtaskq"], ["-umtaskq"], ["-m", "taskq_workers"], ["-X", "dev", "-Pm", "taskq"]],
    ids=" ".join,
)
def test_python_m_taskq(project: Path, words: list[str]) -> None:
    told = run(*words, "--version", cwd=project)
    assert "version" in told.stdout, told.stderr


@pytest.mark.parametrize(
    "words", [["-m", "mine"], ["-m", "mine", "taskq"], ["-m", "mine", "-m", "taskq"]], ids=" ".join
)
def test_another_package_keeps_its_folder(tmp_path: Path, words: list[str]) -> None:
    """One that imports us while it is looked for, and then wants a module of its own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text("import taskq\nimport beside\n")
    (tmp_path / "mine/__main__.py").write_text("import sys\nprint(sys.path[0])\n")
    (tmp_path / "beside.py").touch()
    told = run(*words, cwd=tmp_path)
    assert told.stdout.strip() == str(tmp_path), told.stderr
