"""Numbers and the bar."""

from __future__ import annotations

import io
import sys

import pytest

from taskq import Progress
from taskq.progress import bar


def test_before_the_start() -> None:
    progress = Progress.since(0, 1000.0, 0, 0, 10)
    assert progress == Progress(0, 0, 10, 0.0, None)
    assert str(progress) == "0/10 done, 0 failed, 0.0 items/s"


def test_in_the_middle() -> None:
    progress = Progress.since(1000.0, 1002.0, 3, 1, 10)
    assert progress.rate == 2.0
    assert progress.seconds_left == 3.0
    assert str(progress) == "3/10 done, 1 failed, 2.0 items/s, 3 s left"


def test_at_the_end() -> None:
    assert Progress.since(1000.0, 1002.0, 8, 2, 10).seconds_left == 0.0


@pytest.mark.parametrize("now", [1000.0, 990.0])
def test_clocks_that_disagree(now: float) -> None:
    progress = Progress.since(1000.0, now, 5, 0, 10)
    assert (progress.rate, progress.seconds_left) == (0.0, None)


def test_started_but_nothing_done() -> None:
    assert Progress.since(1000.0, 1001.0, 0, 0, 10).seconds_left is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_bar_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("compute") as move:
        move(Progress(1, 0, 2, 1.0, 1.0))
    captured = capsys.readouterr()
    assert captured.out == captured.err.strip() == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with bar("compute") as move:
        move(Progress(3, 1, 8, 12.0, 1.0))
    shown = terminal.getvalue()
    for part in ("compute", "4/8", "12 items/s", "1 failed"):
        assert part in shown
    assert capsys.readouterr().out == ""
