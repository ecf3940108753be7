"""The script that makes a release: what it writes, and when it refuses."""

from __future__ import annotations

import re
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
