"""Runs other projects' own tests of pools, executors and joblib's backends on taskq's, in each Python given.

    python scripts/fronts_suite.py [--python python3.13 ...] [--front pool|executor|joblib|sklearn ...] [part]

``part`` is one of a test's name. The tests of pools and executors are those of the Python itself (its package
``test``; some distributions leave it out, or a part of it: then that is said). Those of joblib and scikit-learn
are in their packages. taskq is installed into an environment of that Python's own, in a cache folder.
``tests/fronts_suite`` holds what runs there, and the list of tests that can't apply, with reasons.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from taskq.redis.server import private_server

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskq"
MODULES = {"pool": "test._test_multiprocessing", "executor": "test.test_concurrent_futures.util"}
TESTED = {"joblib": [], "sklearn": ["scikit-learn>=1.5"]}  # what has its tests -> what else that needs
PROCESSES = 5


def installed(python: str, front: str) -> str:
    """The interpreter of an environment of this Python in which taskq is installed; our own one, if that is it."""
    ask = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    more = TESTED.get(front, [])
    if version == ".".join(map(str, sys.version_info[:3])) and not more:
        return sys.executable
    kind = f"-{front}" if front in TESTED else ""
    folder = CACHE / f"fronts{kind}-{version}"
    inside = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        options = ["--quiet", "--disable-pip-version-check", "--editable"]
        extras = "embedded,joblib,testing" if front in TESTED else "embedded"
        command = [str(inside), "-m", "pip", "install", *options, f"{ROOT}[{extras}]", *more]
        subprocess.run(command, check=True)
        (folder / ".ready").touch()
    return str(inside)


def run(python: str, front: str, part: str) -> int:
    """Run one suite; returns its exit code, 0 if this Python has none."""
    if front in MODULES:
        found = subprocess.run([python, "-c", f"import {MODULES[front]}"], capture_output=True, check=False)
        if found.returncode:
            print(f"{front}: {python} has no {MODULES[front]}")
            return 0
    with private_server() as url, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TASKQ_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "fronts_suite"), folder])
        command = [python, "-m", "taskq", "worker", "--processes", str(PROCESSES), "--log-level", "warning"]
        worker = subprocess.Popen(command, env=environment)
        try:
            program = ["run.py", front] if front in MODULES else ["parallel.py", front, folder]
            tests = [python, str(ROOT / "tests" / "fronts_suite" / program[0]), *program[1:], part]
            return subprocess.run(tests, env=environment, check=False).returncode
        finally:
            worker.terminate()
            worker.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="an interpreter; may be given several times")
    parser.add_argument("--front", choices=[*MODULES, *TESTED], action="append")
    parser.add_argument("part", nargs="?", default="")
    options = parser.parse_args()
    codes = [
        run(installed(python, front), front, options.part)
        for python in options.python or [sys.executable]
        for front in options.front or [*MODULES, *TESTED]
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
