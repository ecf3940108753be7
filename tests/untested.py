"""Says at the end of a run what was not tested here, and why; where ``CI`` is set, nothing may be skipped.

A pytest plugin, loaded by conftest.py. What runs nowhere but on another machine is named when all tests were run.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from taskq.redis.server import find_program
from tests.acceptance.worker import ROOT

MAY_SKIP = ("this is no clone",)
"""What reasons begin with that hold in CI, too: of nothing that the README promises."""


def must_run() -> bool:
    """Whether a test that is skipped is a test that fails: in CI; elsewhere than on Linux some have no meaning."""
    return bool(os.environ.get("CI")) and sys.platform == "linux"


def skipped(config: pytest.Config) -> Counter[str]:
    """Why tests were skipped, and how many for each reason."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", []))


def elsewhere() -> Iterator[str]:
    """What the README promises, and this machine can't show."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    if others := [one for one in promised if one != here]:
        remedy = f"make clean; make PYTHON=python{others[-1]} test"
        yield f"Python {', '.join(others)}: this is Python {platform.python_version()}. {remedy}"
    yield "macOS: this is Linux" if sys.platform == "linux" else f"Linux: this is {platform.system()}"
    server = subprocess.run([find_program(), "--version"], capture_output=True, text=True, check=True).stdout
    yield f"other servers than {' '.join(server.split()[:3])}: the first of redis-server and valkey-server is used"
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        yield "docker-compose.yml on a Docker engine: there is one. make compose-test"
    else:
        yield "docker-compose.yml on a Docker engine: there is none"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput") or not must_run():
        return
    if any(not why.startswith(MAY_SKIP) for why in skipped(session.config)) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Iterator[None]:
    yield  # what pytest itself has to say comes first
    lines = [f"{why} (skipped: {count})" for why, count in sorted(skipped(config).items())]
    chosen = config.option.keyword or config.option.markexpr
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen:
        lines += elsewhere()
    if lines:
        terminalreporter.section("NOT TESTED HERE")
        terminalreporter.write("".join(f"{line}\n" for line in lines))
        if must_run() and skipped(config):
            terminalreporter.write("CI is set: what is skipped has failed.\n", red=True)
