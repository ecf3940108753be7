"""Makes a release: ``python scripts/release.py 0.2.0``; with ``--dry-run`` all of it in a copy, and for nothing.

It sets the version wherever it stands, closes the changelog's section, builds wheel and sdist, installs the wheel
into an environment of its own, sees that all it needs fits together, and asks it for its version. Then it commits
and tags; to push both, and to upload what is in ``dist/``, is left to you. If anything fails, the files are as
they were, and nothing is committed.

It runs no tests: make one of a commit of which ``.ci/run`` has said that all is well.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
PLACES = {  # where the version stands: file -> what stands before it
    "pyproject.toml": r'^version = "',
    "taskq/__init__.py": r'^__version__ = "',
    "CITATION.cff": r"^version: ",
    "deploy/helm/taskq/Chart.yaml": r'^(version: |appVersion: ")',
    "deploy/helm/taskq/values.yaml": r"^image: taskq:",
    "deploy/kubernetes/worker.yaml": r"^ +image: taskq:",
    "deploy/kubernetes/dashboard.yaml": r"^ +image: taskq:",
}
OPEN = "## [Unreleased]\n"


class ReleaseError(SystemExit):
    """It can't be made; nothing was committed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no release: {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="in a copy, which is thrown away")
    told = parser.parse_args()
    if not VERSION.fullmatch(told.version):
        raise ReleaseError(f"{told.version!r} is not of the form 0.2.0, or 0.2.0rc1")
    if told.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "taskq")
            _run(["git", "clone", "--quiet", str(ROOT), str(copy)], ROOT)
            release(copy, told.version)
            print("a dry run: nothing was changed")
        return
    release(ROOT, told.version)
    print(f"to do: git push origin HEAD v{told.version}; upload dist/taskq_pool-{told.version}*")


def release(root: Path, version: str) -> None:
    """Make one out of a working copy.

    Raises:
        ReleaseError: If the copy has changes, the tag is there, or the version is not a later one; if that does
            not stand where it is looked for, nothing is to be released, or what was built does not work.
    """
    if _run(["git", "status", "--porcelain"], root):
        raise ReleaseError("there are changes that are not committed")
    if _run(["git", "tag", "--list", f"v{version}"], root):
        raise ReleaseError(f"the tag v{version} is there already")
    check_later(root / "pyproject.toml", version)
    try:
        _make(root, version)
    except BaseException:
        _run(["git", "restore", *PLACES, "CHANGELOG.md"], root)
        raise
    _run(["git", "commit", "--all", "--quiet", "--message", f"Release {version}"], root)
    _run(["git", "tag", "--annotate", f"v{version}", "--message", f"taskq {version}"], root)
    print(f"built, checked, committed and tagged: v{version}")


def _make(root: Path, version: str) -> None:
    for name, before in PLACES.items():
        set_version(root / name, before, version)
    close_changelog(root / "CHANGELOG.md", version)
    print(_run(["git", "diff", "--stat"], root))
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."], root)
    _check(root / "dist", version)


def check_later(path: Path, version: str) -> None:
    """See that the version comes after the one that stands in pyproject.toml.

    Raises:
        ReleaseError: If not.
    """
    now = tomllib.loads(path.read_text())["project"]["version"]
    if Version(version) <= Version(now):
        raise ReleaseError(f"{version} does not come after {now}, which is there")


def set_version(path: Path, before: str, version: str) -> None:
    """Write it where it stands in a file.

    Raises:
        ReleaseError: If it does not stand there.
    """
    text, found = re.subn(
        rf"({before}){VERSION.pattern}", rf"\g<1>{version}", path.read_text(), flags=re.MULTILINE
    )
    if not found:
        raise ReleaseError(f"{path.name} has no version where it is looked for: {before}")
    path.write_text(text)


def close_changelog(path: Path, version: str) -> None:
    """Give what is unreleased this version and today's date, and begin anew.

    Raises:
        ReleaseError: If there is nothing.
    """
    head, there, rest = path.read_text().partition(OPEN)
    if not there or not rest.partition("\n## ")[0].strip():
        raise ReleaseError("the changelog tells of nothing that is to be released")
    today = dt.datetime.now(tz=dt.UTC).date()
    path.write_text(f"{head}{OPEN}\n## [{version}] - {today}\n{rest}")


def _check(dist: Path, version: str) -> None:
    """See that the wheel can be installed, with all that it needs, and knows its version."""
    [wheel] = dist.glob(f"taskq_pool-{version}-*.whl")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        program = Path(folder, "bin")
        _run([str(program / "python"), "-m", "pip", "install", "--quiet", str(wheel)], dist)
        _run([str(program / "python"), "-m", "pip", "check"], dist)
        said = _run([str(program / "taskq"), "--version"], dist)
    if said.split()[-1] != version:
        raise ReleaseError(f"what was built says that it is {said!r}")


def _run(command: list[str], folder: Path) -> str:
    """What a program says.

    Raises:
        ReleaseError: If it fails; with what it says.
    """
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ReleaseError(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout.strip()


if __name__ == "__main__":
    main()
