"""Runs RQ's own test suite, of the installed version, against our worker: with one pool process and with several.

    python scripts/rq_suite.py [--processes 1 --processes 4] [pytest's arguments]

RQ's source distribution is downloaded by pip, once, into a cache folder; only its tests are unpacked.
``tests/rq_suite`` holds the adapter and the list of tests that do not apply, with reasons.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from taskq.redis.server import private_server

ROOT = Path(__file__).resolve().parents[1]
SUITE = ROOT / "tests" / "rq_suite"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskq"


def unpacked() -> Path:
    """The folder with RQ's tests; fetched and unpacked if it is not there yet."""
    release = version("rq")
    folder = CACHE / f"rq-{release}"
    if (folder / "tests").is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        scratch = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--no-binary", "rq", "--dest", str(scratch), f"rq=={release}"]  # fmt: skip
        subprocess.run(command, check=True)
        with tarfile.open(scratch / f"rq-{release}.tar.gz") as archive:
            prefix = f"rq-{release}/tests/"
            members = [member for member in archive.getmembers() if member.name.startswith(prefix)]
            archive.extractall(scratch, members, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (scratch / f"rq-{release}").rename(folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(folder: Path, processes: int, arguments: list[str]) -> int:
    """Run the suite; returns pytest's exit code."""
    port = free_port()
    commands = CACHE / "bin"
    _write_rqworker(commands)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TASKQ_", "RQ_"))},
        "PYTHONPATH": os.pathsep.join([str(SUITE), str(folder)]),
        "PATH": os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "RQ_SUITE_PORT": str(port),
        "RQ_SUITE_PROCESSES": str(processes),
        "RUN_SLOW_TESTS_TOO": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "adapter", "-p", "no:cacheprovider", "-q", "-rfE",
               "--tb=short", "-c", os.devnull, "--rootdir", str(folder), "-o", "markers=slow\nssl_test",
               *(arguments or ["tests"])]  # fmt: skip
    with private_server("--port", str(port), "--bind", "127.0.0.1"):
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def _write_rqworker(folder: Path) -> None:
    """RQ's old name of its worker's command, which some tests start: here it is ours."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "rqworker"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m taskq worker "$@"\n')
    script.chmod(0o755)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--processes", type=int, action="append", help="pool processes; may be given several times"
    )
    options, arguments = parser.parse_known_args()
    folder = unpacked()
    return max(run(folder, processes, arguments) for processes in options.processes or [1, 4])


if __name__ == "__main__":
    sys.exit(main())
