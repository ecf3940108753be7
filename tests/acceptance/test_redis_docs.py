"""What docs/redis.md prints is what happens: a fail-over in the middle of a map, with a real sentinel."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskq.redis.server import find_program
from tests.acceptance.worker import environment
from tests.servers.site import free_port
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/redis.md").read_text(encoding="utf-8")


def test_the_program(folder: Path) -> None:
    found = re.search(r"<!-- sentinel:.*?-->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert found
    script = found[1]
    for port in ("7001", "7002", "7003"):
        script = script.replace(port, str(free_port()))
    (folder / "redis-server").symlink_to(find_program())
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "printed").open("w") as out, (folder / "warned").open("w") as err:
        process = subprocess.Popen(
            [shutil.which("bash") or "", "-c", script], cwd=folder, env=environment(PATH=path),
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
    try:
        process.wait(HANGS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it goes on for ever:\n{_logs(folder)}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    told = re.search(r"It prints `(.*?)`", PAGE)
    assert told
    assert (folder / "printed").read_text() == f"{told[1]}\n", _logs(folder)


def _logs(folder: Path) -> str:
    names = ("printed", "warned", "worker.log", "primary.log", "replica.log", "sentinel.log")
    return "\n".join(f"{name}:\n{(folder / name).read_text()}" for name in names)
