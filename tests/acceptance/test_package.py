"""What is released: wheel and sdist, what is in them, and that the wheel works beside a project of any shape."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskq import __version__
from tests.acceptance.worker import ROOT, environment
from tests.waiting import HANGS, LONG

pytestmark = pytest.mark.acceptance

NAME = f"taskq_pool-{__version__}"
CODE = {"taskq": ROOT / "taskq", "taskq_workers": ROOT / "workers/taskq_workers"}
EPOCH = 1700000000  # what SOURCE_DATE_EPOCH says


class Built(NamedTuple):
    """Both files of one build, and a folder with what is in the sdist."""

    sdist: Path
    wheel: Path
    source: Path


def build(source: Path, folder: Path) -> Built:
    """Without a network: the builder is in the extra ``dev``."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(
        command, cwd=folder, env=environment(SOURCE_DATE_EPOCH=str(EPOCH)), capture_output=True, text=True,
        timeout=LONG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sdist, wheel = folder / f"{NAME}.tar.gz", folder / f"{NAME}-py3-none-any.whl"
    assert set(folder.iterdir()) == {sdist, wheel}
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    return Built(sdist, wheel, folder / "source" / NAME)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed into it, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--target", str(folder), str(built.wheel)], check=True, timeout=LONG
    )
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working directory with a package ``workers`` of its own."""
    package = tmp_path / "workers"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mailer.py").write_text("def deliver(n):\n    return n + 1\n")
    return tmp_path


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_git(*options: str) -> set[str]:
    """The files of the repository, or, with ``--others``, those beside them."""
    command = ["git", "ls-files", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- contents -------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_two_packages_and_all_of_their_files(built: Built) -> None:
    wanted = {
        f"{package}/{path.relative_to(folder)}"
        for package, folder in CODE.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    metadata = {f"{NAME}.dist-info/{name}" for name in
                ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}  # fmt: skip
    assert names(built.wheel) == wanted | metadata
    kinds = {Path(name).suffix for name in wanted}
    assert kinds >= {".py", ".typed", ".lua", ".js", ".css", ".html", ".svg", ".jinja"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone, but an unpacked sdist")
def test_the_sdist_is_the_repository(built: Built) -> None:
    held = {str(path.relative_to(built.source)) for path in built.source.rglob("*") if path.is_file()}
    assert held - {"PKG-INFO"} - in_git("--others") == in_git()


def test_the_same_files_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """Built again from the unpacked sdist: another folder, other times and permissions, and no git."""
    for path in built.source.rglob("*.py"):
        os.utime(path)
        path.chmod(0o600)
    again = build(built.source, tmp_path)
    assert digest(again.wheel) == digest(built.wheel)
    assert digest(again.sdist) == digest(built.sdist)


def test_times_in_the_archives_are_those_of_the_variable(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        assert {member.mtime for member in archive} == {EPOCH}
    with zipfile.ZipFile(built.wheel) as archive:
        assert {each.date_time for each in archive.infolist()} == {time.gmtime(EPOCH)[:6]}


def test_the_metadata(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        text = archive.read(f"{NAME}.dist-info/METADATA").decode()
        commands = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert "Name: taskq-pool\n" in text
    assert "License-Expression: Apache-2.0\n" in text
    assert set(re.findall(r"^Project-URL: (\w+), https://", text, re.MULTILINE)) == {
        "Source", "Documentation", "Changelog", "Issues",
    }  # fmt: skip
    assert commands.split() == ["[console_scripts]", "taskq", "=", "taskq_workers.cli:main"]


# -- installed ------------------------------------------------------------------------------------------


def python(code: str, installed: Path, cwd: Path) -> str:
    """What the program prints; it finds the installed wheel before the clone."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment(PYTHONPATH=str(installed)),
        capture_output=True, text=True, timeout=HANGS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_works_beside_a_project_of_the_same_shape(installed: Path, project: Path) -> None:
    code = (
        "import taskq, taskq_workers, workers.mailer\n"
        "print(taskq.__file__, taskq_workers.__file__, workers.mailer.__file__, sep='\\n')\n"
        "with taskq.local(processes=1) as q:\n"
        f"    print(q.map(workers.mailer.deliver, [1, 2]).get(timeout={HANGS}))\n"
        f"    print(q.enqueue('workers.mailer.deliver', 3).latest_result(timeout={HANGS}).return_value)\n"
    )
    assert python(code, installed, project).splitlines() == [
        str(installed / "taskq/__init__.py"),
        str(installed / "taskq_workers/__init__.py"),
        str(project / "workers/mailer.py"),
        "[2, 3]",
        "4",
    ]


def test_the_command_is_installed(installed: Path, project: Path) -> None:
    for command in ([str(installed / "bin/taskq")], [sys.executable, "-m", "taskq"]):
        told = subprocess.run(
            [*command, "--version"], cwd=project, env=environment(PYTHONPATH=str(installed)),
            capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        assert __version__ in told.stdout, told.stderr


def test_no_other_module_is_installed(installed: Path, tmp_path: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {*CODE, "bin", f"{NAME}.dist-info"}
    assert "taskq-pool" not in packages_distributions().get("workers", [])
    look = "import importlib.util as u; print(*[n for n in ('workers', 'tests', 'benchmarks') if u.find_spec(n)])"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, timeout=HANGS, check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.stdout.split() == []


# -- what users are told --------------------------------------------------------------------------------

BARE = "taskq"  # on the registry, a distribution of this name is somebody else's
WRONG = re.compile(rf"\b{BARE}\[|\bpip3? install(?:\s+[\w.=\[\]/'\"-]+)*?\s+['\"]?{BARE}(?![\w.-])")


def told() -> list[Path]:
    kinds = {".md", ".py", ".toml", ".yml", ".yaml", ".html", ".jinja", ".js", ".json", ".txt", ""}
    folders = [path for path in ROOT.iterdir() if path.name[0] != "." or path.name == ".ci"]
    found = [each for path in folders for each in ([path] if path.is_file() else path.rglob("*"))]
    return [path for path in found if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts]


def test_nobody_is_told_to_install_another_distribution() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in told()
        for line in path.read_text(encoding="utf-8").splitlines()
        if WRONG.search(line)
    ]
    assert guilty == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (f"pip install {BARE}", True),
        (f"`pip install -U '{BARE}'`", True),
        (f"pip install redis {BARE} numpy", True),
        (f"'{BARE}[embedded]'", True),
        (f"pip install {BARE}-pool", False),
        (f"pip install '{BARE}-pool[embedded]'", False),
        (f"pip install '.[embedded]', then {BARE} worker", False),
    ],
)
def test_what_is_wrong_is_seen(line: str, *, wrong: bool) -> None:
    assert bool(WRONG.search(line)) is wrong


def test_extras_name_each_other_by_the_right_name() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [one for extra in project["optional-dependencies"].values() for one in extra if one.startswith(BARE)]
    assert own
    assert all(one.startswith(f"{project['name']}[") for one in own)
