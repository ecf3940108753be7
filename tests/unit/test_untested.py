"""What a run says of tests that were skipped, and that none may be in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import untested
from tests.acceptance.worker import ROOT

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skipif(True, reason={reason!r})
@pytest.mark.parametrize("n", range(3))
def test_does_not(n):
    raise AssertionError
"""


def run(folder: Path, reason: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(TESTS.format(reason=reason))
    own = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "tests.untested", "-p", "no:cacheprovider", *arguments]
    environment = {**own, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [*command, str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [(), ("-n", "1")])
def test_it_is_named_last(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(tmp_path, "no such thing here", *arguments)
    assert ended.returncode == 0, ended.stdout
    *_, said, _result = filter(None, ended.stdout.splitlines())
    assert said == "no such thing here (skipped: 3)"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere tests may be skipped in CI, too")
@pytest.mark.parametrize("arguments", [(), ("-n", "1")])
def test_in_ci_it_has_failed(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(tmp_path, "no such thing here", *arguments, CI="true")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "CI is set: what is skipped has failed" in ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere tests may be skipped in CI, too")
def test_in_ci_some_may_be_skipped(tmp_path: Path) -> None:
    assert run(tmp_path, f"{untested.MAY_SKIP[0]}, but ...", CI="true").returncode == 0


def test_what_no_machine_shows_alone() -> None:
    said = "\n".join(untested.elsewhere())
    assert f"this is Python {sys.version_info[0]}.{sys.version_info[1]}." in said
    assert "other servers than" in said
    assert "docker-compose.yml" in said


def test_ci_is_set_where_ci_is_run() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "export CI=true" in script
    assert script.index("export CI") < script.index("make test")
