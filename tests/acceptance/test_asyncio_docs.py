"""What docs/from_asyncio.md prints is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from taskq import Queue
from taskq.redis.urls import url_of
from taskq.testing import running_worker
from tests.acceptance.web import ask, served
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/from_asyncio.md").read_text(encoding="utf-8")
SAYS = {
    "maps": f"{[n * n for n in range(8)]}\n{sum(n * n for n in range(100))}\n64\n",
    "jobs": "<h1>start</h1>\n['<h1>start</h1>', '<h1>a</h1>', '<h1>b</h1>']\n",
}


def program(name: str) -> str:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"no block {name} in docs/from_asyncio.md"
    return found[1]


@pytest.mark.parametrize("name", SAYS)
def test_each_program(name: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program(name))
    environment = {name: value for name, value in os.environ.items() if name != "TASKQ_URL"}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=HANGS, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, SAYS[name], "")


def test_the_web_application(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_URL", url_of(real_queue.connection))
    scope: dict[str, Any] = {"__name__": "web"}
    exec(program("web"), scope)  # noqa: S102 - it is the page's
    with running_worker(real_queue, processes=1), served(scope["app"]) as url:
        status, told = ask(f"{url}/jobs", b'["a", "b"]')
        assert status == 202
        assert ask(f"{url}/jobs/{told['id']}") == (200, ["A", "B"])
        assert ask(f"{url}/jobs/none")[0] == 404


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGE)) == {*SAYS, "web"}
