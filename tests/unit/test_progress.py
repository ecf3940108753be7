"""Numbers and the bar."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from taskq import OptionError, Progress
from taskq.views.progress_bar import bar


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
        move(Progress(3, 1, 8, 12.0, 1.0, 2, 6))
    shown = terminal.getvalue()
    for part in ("compute", "4/8", "12 items/s", "1 failed", "2/6 cores"):
        assert part in shown
    assert capsys.readouterr().out == ""


def test_lines_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("compute", "always") as move:
        for done in (1, 2, 3, 4):
            move(Progress(done, 0, 4, 2.0, 1.0))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "compute: 1/4 done, 0 failed, 2.0 items/s, 1 s left",
        "compute: 4/4 done, 0 failed, 2.0 items/s, 1 s left",  # the last one, whenever it was
    ]


class Broken(io.StringIO):
    """Whoever has read it is gone."""

    def __init__(self, *, terminal: bool, error: Exception) -> None:
        super().__init__()
        self._terminal, self._error = terminal, error

    def isatty(self) -> bool:
        if isinstance(self._error, ValueError):
            raise self._error
        return self._terminal

    def write(self, _text: str) -> int:
        raise self._error

    flush = close = lambda _self: None


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed")], ids=repr
)
@pytest.mark.parametrize("terminal", [True, False])
def test_that_nobody_can_read_it_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool, error: Exception
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(terminal=terminal, error=error))
    monkeypatch.setenv("TERM", "xterm")
    done = []
    with bar("compute", "always") as move:
        for number in range(3):
            move(Progress(number, 0, 4, 2.0, 1.0))
            done.append(number)
    assert done == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_where_there_is_no_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As under pythonw; nothing of it goes to stdout instead."""
    monkeypatch.setattr(sys, "stderr", None)
    with bar("compute", "always") as move:
        move(Progress(1, 0, 4, 2.0, 1.0))
    assert capsys.readouterr().out == ""


def test_nothing_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with bar("compute", False) as move:
        move(Progress(1, 0, 2, 1.0, 1.0))
    assert terminal.getvalue() == ""


def test_what_is_printed_into_a_pipe_stays_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with bar("compute") as move:
        move(Progress(1, 0, 2, 1.0, 1.0))
        sys.stdout.write("data\n")
    assert capsys.readouterr().out == "data\n"
    assert "data" not in terminal.getvalue()


def test_the_notebook_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython's own display machinery, with the kernel's attribute by which a notebook is known."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance(history_length=0)
    try:
        shell.display_pub = publisher = CapturingDisplayPublisher()
        shell.kernel = object()
        with bar("<lambda>") as move:
            move(Progress(1, 0, 4, 2.0, 1.5, 2, 2))
            move(Progress(3, 1, 4, 2.0, 0.0))
    finally:
        InteractiveShell.clear_instance()
    first, last = publisher.outputs
    assert 'aria-valuenow="1" aria-valuemax="4"' in first["data"]["text/html"]
    assert "&lt;lambda&gt;" in first["data"]["text/html"]
    assert "2/2 cores busy" in first["data"]["text/plain"]
    assert last["update"]
    assert last["transient"] == first["transient"]
    assert "3/4 done, 1 failed" in last["data"]["text/plain"]


def test_a_shell_of_ipython_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance(history_length=0)
    try:
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        monkeypatch.setenv("TERM", "xterm")
        with bar("compute") as move:
            move(Progress(1, 0, 4, 2.0, 1.5))
    finally:
        InteractiveShell.clear_instance()
    assert "1/4" in terminal.getvalue()


@pytest.mark.parametrize("show", ["bogus", 2, None])
def test_what_is_no_way_to_show_it(show: Any) -> None:
    with pytest.raises(OptionError, match=r'progress must be True, False or "always", not'), bar("a map", show):
        pass
