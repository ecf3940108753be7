"""The script that makes a release: what it writes, and when it refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from scripts import release
from taskq import __version__
from tests.acceptance.worker import ROOT


@pytest.mark.parametrize("name", release.PLACES)
def test_the_version_is_set_wherever_it_stands(name: str, tmp_path: Path) -> None:
    text = (ROOT / name).read_text()
    assert __version__ in text, "it is the same in all places"
    copy = tmp_path / "copy"
    copy.write_text(text)
    release.set_version(copy, release.PLACES[name], "99.1.2rc3")
    assert "99.1.2rc3" in copy.read_text()
    assert __version__ not in re.sub(r".*(apiVersion|>=|==).*", "", copy.read_text())


def test_a_file_without_a_version_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(release.ReleaseError, match="no version"):
        release.set_version(tmp_path / "empty", r"^version: ", "1.0.0")


@pytest.mark.parametrize(("there", "asked", "refused"), [
    ("0.1.0", "0.2.0", False), ("0.2.0rc1", "0.2.0", False), ("0.9.0", "0.10.0", False),
    ("0.2.0", "0.2.0", True), ("0.2.0", "0.2.0rc1", True), ("0.10.0", "0.9.1", True),
])  # fmt: skip
def test_a_release_comes_after_the_one_before(tmp_path: Path, there: str, asked: str, refused: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{there}"\n')
    with pytest.raises(release.ReleaseError, match="does not come after") if refused else nullcontext():
        release.check_later(tmp_path / "pyproject.toml", asked)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    command = [str(shutil.which("git")), *who, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_what_fails_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*release.PLACES, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{release.OPEN}\n- A thing.\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    monkeypatch.setattr(release.sys, "executable", "false")  # what is to build it
    with pytest.raises(release.ReleaseError, match="build"):
        release.release(tmp_path, "99.0.0")
    assert not git(tmp_path, "status", "--porcelain")
    assert not git(tmp_path, "tag")


def test_the_changelog_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n")
    release.close_changelog(path, "1.0.0")
    assert re.search(
        r"## \[Unreleased\]\n\n## \[1\.0\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing\.", path.read_text()
    )
    with pytest.raises(release.ReleaseError, match="nothing"):
        release.close_changelog(path, "1.0.1")


def test_the_changelog_of_this_repository_has_something() -> None:
    assert release.OPEN in (ROOT / "CHANGELOG.md").read_text()
