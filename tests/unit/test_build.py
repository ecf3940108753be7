"""Which code this is, to the letter; and that a manager has all of it in memory before it starts anything."""

from __future__ import annotations

import pkgutil
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import taskq
import taskq_workers
from taskq.redis import lua
from taskq_workers import build


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of both packages, which counts as what is installed from now on."""
    build.installed()
    for package in (taskq, taskq_workers):
        folder = tmp_path / package.__name__
        shutil.copytree(package.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(package, "__path__", [str(folder)])
    return tmp_path


def digest() -> str:
    return build.installed.__wrapped__()


def test_the_same_files_are_the_same_build(copy: Path) -> None:
    assert digest() == build.installed()
    (copy / "taskq" / "__pycache__").mkdir()
    (copy / "taskq" / "__pycache__" / "queue.pyc").touch()
    assert digest() == build.installed()
    assert re.fullmatch(re.escape(taskq.__version__) + "-[0-9a-f]{12}", digest())


@pytest.mark.parametrize("name", ["taskq/queue.py", "taskq/redis/lua/claim.lua", "taskq_workers/process/jobs.py"])
def test_another_letter_is_another_build(copy: Path, name: str) -> None:
    with (copy / name).open("a") as file:
        file.write("#")
    assert digest() != build.installed()


def test_another_file_is_another_build(copy: Path) -> None:
    (copy / "taskq" / "queue.py").rename(copy / "taskq" / "queues.py")
    assert digest() != build.installed()


def test_it_is_read_once(copy: Path) -> None:
    before = build.installed()
    (copy / "taskq" / "queue.py").unlink()
    assert build.installed() == before


def test_all_scripts_are_read_at_once() -> None:
    lua.source.cache_clear()
    lua.read_all()
    files = list((Path(taskq.__path__[0]) / "redis" / "lua").glob("*.lua"))
    assert lua.source.cache_info().currsize == len(files) > 10


APART = {  # the forkserver's, what runs before the manager does, and a program of its own that runs at the start
    "taskq_workers.process.forkserver", "taskq_workers.manager.prepare", "taskq_workers.process.check",
    "taskq_workers.link.host_file",  # no process has to do with it: it maps the file of which it is told
}  # fmt: skip
LOADED = "import sys, taskq_workers.{}; print(*sys.modules)"


@pytest.mark.parametrize(
    ("start", "rooms"),
    [
        ("manager.manager", ["manager", "service", "lanes", "process", "link"]),
        ("process.forkserver, taskq_workers.process.process", ["process", "link"]),
    ],
)
def test_nothing_is_left_to_be_read_later(start: str, rooms: list[str]) -> None:
    """What a program of ours imports only when it needs it might be of another version by then."""
    command = [sys.executable, "-c", LOADED.format(start)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    for room in rooms:
        package = import_module(f"taskq_workers.{room}")
        ours = {found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")}
        assert ours - loaded <= APART
