"""What the Makefile would do, on a fresh machine and on one that has all."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def would_run(folder: Path, *target: str) -> str:
    shutil.copy(ROOT / "Makefile", folder)
    if not (folder / "pyproject.toml").exists():
        shutil.copy(ROOT / "pyproject.toml", folder)
    command = [shutil.which("make") or "make", "-n", *target]
    own = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}  # not what make was told
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=True).stdout


def test_a_demo_installs_only_what_it_needs_and_shows_that_it_does(tmp_path: Path) -> None:
    told = would_run(tmp_path, "demo")
    [install] = [line for line in told.splitlines() if "pip install" in line]
    assert "--editable '.[embedded]'" in install
    assert "quiet" not in install
    assert told.index("Installing taskq") < told.index("pip install") < told.index("taskq demo")


def test_a_demo_of_what_is_installed_begins_at_once(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv/.ready").touch()
    assert would_run(tmp_path, "demo").split() == [".venv/bin/taskq", "demo"]


def test_the_docs_have_an_environment_of_their_own_and_are_built_strictly(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    told = would_run(tmp_path, "docs")
    assert ".venv/" not in told
    assert "--editable '.[docs]'" in told
    assert told.index("mkdocs build --strict") < told.index("scripts/check_site.py site")


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["SEEDS=100000"], "--seeds 100000"),
        (["SEED=0"], "--seed 0"),
        (["SEED=4", "MUTATION=RQ's cleaning"], "--seed 4 --mutation RQ's cleaning"),
        (["MUTATIONS=1"], "--mutations"),
        ([], ""),
    ],
)
def test_a_simulation_is_told_what_was_asked_for(tmp_path: Path, given: list[str], options: str) -> None:
    (tmp_path / ".venv").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv/.ready").touch()
    told = would_run(tmp_path, "simulate", *given).replace("\\\n", "")
    assert " ".join(shlex.split(told)) == f".venv/bin/python -m tests.simulation {options}".strip()
