"""``taskq shell`` where there is no IPython, on a terminal."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import Queue
from tests.acceptance.worker import ROOT, environment
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance


class Terminal:
    """What stands on it, and what is typed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._number, text.encode())

    def read(self, words: str) -> str:
        """All that is shown until these words are, which is then forgotten."""
        deadline = time.monotonic() + HANGS
        while words not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._number], [], [], 0.2)[0]:
                self.shown += os.read(self._number, 65536).decode("utf-8", "replace")
        before, _, self.shown = self.shown.partition(words)
        return before + words


@pytest.fixture
def terminal(server_url: str, real_queue: Queue, tmp_path: Path) -> Iterator[Terminal]:
    del real_queue  # which empties the server
    (tmp_path / "IPython.py").write_text("raise ImportError('there is none')\n")
    variables = environment(
        TASKQ_URL=server_url, TERM="dumb", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", HOME=str(tmp_path)
    )
    pid, number = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "taskq", "shell"], variables)  # noqa: S606
    one = Terminal(number)
    try:
        yield one
    finally:
        one.type("\x04")
        os.waitpid(pid, 0)
        os.close(number)


def test_an_error_is_shown_alone(terminal: Terminal) -> None:
    terminal.read(">>> ")
    terminal.type("1 / 0\n")
    told = terminal.read(">>> ")
    assert "ZeroDivisionError" in told
    assert "IPython" not in told
    assert "During handling" not in told


def test_names_are_completed(terminal: Terminal) -> None:
    terminal.read(">>> ")
    terminal.type("q.starm\t")
    terminal.read("q.starmap(")
    terminal.type("print, [])\n")
    terminal.read(">>> ")
