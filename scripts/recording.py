"""Makes the recording of a whole session in docs/start.md, as text: ``make recording``. Takes ten seconds.

Three terminals: a worker, a Python shell, and one from which the worker's service is killed in mid-map.
What is typed stands here; what is shown is what such a terminal shows in the end. The port alone is another one.
"""

from __future__ import annotations

import os
import random
import re
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "start.md"
BLOCK = re.compile(r"(?<=<!-- made by scripts/recording.py -->\n```text\n).*?(?=```\n)", re.DOTALL)
SECONDS = 60  # for what takes a second or two
LINES, COLUMNS = 40, 88  # of a terminal; so many columns the site shows in a usual window
SHELL, PYTHON, GOES_ON = r"\$ $", r">>> $", r"\.\.\. $"

SLOW = """\
from taskq import Queue
q = Queue()
import time
def slow_square(n):
    time.sleep(0.04)
    return n * n

job = q.map(slow_square, range(300))
"""


class Terminal:
    """A shell in a terminal; what was typed there and shown is put into the recording.

    Args:
        text: The recording, as lines.
        name: What stands above its part.
        environment: Of the shell.
    """

    def __init__(self, text: list[str], name: str, environment: dict[str, str]) -> None:
        self._text = text
        self._name = name
        self._process = pexpect.spawn(
            "bash", ["--norc", "--noprofile"], env=environment, dimensions=(LINES, COLUMNS), timeout=SECONDS,
            encoding="utf-8",
        )  # fmt: skip
        self._process.expect(SHELL)
        self._prompt = "$ "

    def begin(self) -> None:
        """From here on the recording goes on in this terminal."""
        self._text += ["", f"───── {self._name} ".ljust(80, "─"), ""]

    def type(self, line: str, until: str = SHELL) -> None:
        """A line, and all that is shown until this pattern ends it."""
        self._process.sendline(line)
        self.read(until)

    def read(self, until: str) -> None:
        """What is shown until this pattern ends it."""
        self._process.expect(until)
        ends = self._process.after if until not in (SHELL, PYTHON, GOES_ON) else ""
        shown = self._shown(self._process.before + ends)
        self._text += [self._prompt + shown[0], *shown[1:]] if self._prompt else shown
        self._prompt = {SHELL: "$ ", PYTHON: ">>> ", GOES_ON: "... "}.get(until, "")

    def watch(self, command: str, until: str, key: str) -> str:
        """What a command shows on its whole screen once this pattern is there; then this key ends it."""
        self._process.sendline(command)
        told, shown, deadline = "", [""], time.monotonic() + SECONDS
        while not re.search(until, "\n".join(shown), re.MULTILINE):
            assert time.monotonic() < deadline, told
            told += self._process.read_nonblocking(4096, SECONDS)
            shown = self._shown(told.partition("\n")[2])
        self._text += [f"{self._prompt}{command}", *shown]
        self._process.send(key)
        self._process.expect(SHELL)
        return "\n".join(shown)

    def interrupt(self, until: str) -> None:
        """Ctrl-C, and what is shown then."""
        self._process.sendintr()
        self.read(until)

    def close(self) -> None:
        """End all that runs in it, wherever it stopped."""
        with suppress(pexpect.ExceptionPexpect):
            self._process.sendintr()
            while True:  # until there is nothing more to end
                self._process.expect([SHELL, PYTHON])
                self._process.sendeof()
        self._process.close(force=True)

    def _shown(self, told: str) -> list[str]:
        screen = pyte.Screen(COLUMNS, LINES)
        pyte.Stream(screen).feed(told)
        return "\n".join(line.rstrip() for line in screen.display).strip("\n").split("\n")


def free_port() -> int:
    """A port of as many digits as the usual one, so that lines are as long as with that."""
    while True:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port := random.randrange(6380, 9999)))  # noqa: S311
            return port


def record(folder: Path) -> str:
    """The session, begun in this folder."""
    port = str(free_port())
    own = {key: value for key, value in os.environ.items() if not key.startswith("TASKQ_")}
    path = f"{Path(sys.executable).parent}:{own['PATH']}"
    environment = {
        **own, "PATH": path, "PWD": str(folder), "PS1": "$ ", "TERM": "xterm-256color", "NO_COLOR": "1",
        "PYTHON_BASIC_REPL": "1", "TASKQ_URL": f"redis://localhost:{port}/0", "INPUTRC": "/dev/null",
    }  # fmt: skip
    text: list[str] = []
    terminals = [Terminal(text, name, environment) for name in ("a worker", "a Python shell", "a third terminal")]
    try:
        play(*terminals)
    finally:
        for terminal in reversed(terminals):
            terminal.close()
    return "\n".join(line.rstrip() for line in text).strip("\n").replace(port, "6379") + "\n"


def play(worker: Terminal, python: Terminal, third: Terminal) -> None:
    """What is done in the three terminals."""
    worker.begin()
    worker.type("taskq worker --embedded --processes 2", r"ready: .*\n")
    python.begin()
    python.type("python -q", PYTHON)
    for line in SLOW.splitlines():
        python.type(line, GOES_ON if line.startswith(("def", " ")) else PYTHON)
    third.begin()
    # A third of the items is done, and both processes are at others.
    shown = third.watch("taskq top", until=r"(?s)^(\w+) slow_square .*\d\d\d/300.*^\S+ +(\d+) ██", key="q")
    found = re.search(r"(?s)^(\w+) slow_square .*^\S+ +(\d+) ██", shown, re.MULTILINE)
    assert found
    third.type(f"kill -9 {found[2]}  # the service, which runs both pool processes")
    worker.begin()
    worker.read(r"ready: .*\n")
    python.begin()
    python.type("sum(job.get(progress=True)), len(job)", PYTHON)
    third.begin()
    third.type(f"taskq show {found[1]}")
    worker.begin()
    worker.interrupt(SHELL)


def main() -> None:
    """Print the recording, or with ``--write`` put it into the page."""
    with tempfile.TemporaryDirectory() as folder:
        text = record(Path(folder))
    if "--write" not in sys.argv[1:]:
        print(text, end="")
        return
    page = PAGE.read_text(encoding="utf-8")
    assert BLOCK.search(page)
    PAGE.write_text(BLOCK.sub(lambda _: text, page, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
