"""What the README prints is what happens."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import taskq
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    assert found, f"no block {name} in the README"
    return found[1]


@pytest.fixture
def q() -> Iterator[taskq.Queue]:
    with taskq.local(processes=2) as queue:
        yield queue


def test_the_shell_session(q: taskq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_URL", f"unix://{q.connection.connection_pool.connection_kwargs['path']}")
    session = block("session")
    # What differs from run to run: ids, sums of random numbers, how far a map is when it is shown.
    expected = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "...", session)
    expected = re.sub(r"\b50\d{6}\b", "50...", expected).replace("0/8 done", "... done")
    test = doctest.DocTestParser().get_doctest(expected, {"__name__": "__main__"}, "README.md", None, 0)
    said: list[str] = []
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    result = doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=said.append)
    assert result.attempted > 15
    assert not result.failed, "".join(said)


def test_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("program")], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 1, 4, 27, 256]\n", "")


def test_the_commands_that_it_names_exist() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        if target not in ("demo", "test"):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
