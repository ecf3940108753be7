"""Ends a private server, and all that belongs to it, when its program is gone, however that one went.

    program ──holds the end of a pipe, which is our stdin──> keeper ──is the parent of──> server
       └─starts, with a mark in the environment──> workers, which hold the end of another pipe, the line

A program that needs the server no more says so with a byte. To close its end of the pipe would not do: who was
forked from it (by ``multiprocessing``, say) holds that, too, and may live for long.

    dies       is noticed by                                           and then
    program    keeper: end of stdin, or another parent than before     the workers leave; the server is ended
    workers    keeper: end of the line                                 all that carries the mark is killed
    keeper     the kernel (Linux)                                      the server is killed
    server     whoever asks it something

The server itself looks after nobody. On Linux the kernel kills it with its parent, and by that it means the thread
that started it: so its parent is the keeper, which has only one, not the program. Elsewhere a server whose keeper
was killed is ended by the program, or by the manager, or by the next program, which finds its folder unlocked
(``server.sweep``).

This file runs as a program of its own, in a session of its own, with nothing but Python's own library: it takes
10 MB, and is there in 30 ms. ``taskq_workers.lanes.guard`` uses its functions.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "TASKQ_KEPT"
"""The variable by which the keeper finds what belongs to its program."""

VISIBLE = {"SPT_NOENV": "1"}
"""What else must be in the environment: it tells setproctitle to leave what the system shows of it alone."""

_LOOK = 1.0  # seconds between looks at whether the parent is still there
_LEAVE = 8.0  # seconds in which the workers of a program that is gone must end
_STOP = 5.0  # seconds the server may take to end
_PATIENCE = 2.0  # seconds: how long to look for processes which are just being started
_MOMENT = 0.02  # seconds a process may take from its start until it shows its environment
_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


# -- what carries a mark ---------------------------------------------------------------------------------


def kill_carriers(variable: str, is_meant: Callable[[str], bool]) -> None:
    """Kill all other processes in whose environment the variable has a value that is meant, and their groups.

    What they start meanwhile is found, too: who has just begun its program shows no environment for a moment, so
    that nobody is found must be seen twice.
    """
    deadline, nobody = time.monotonic() + _PATIENCE, 0
    while nobody < 2 and time.monotonic() < deadline:  # noqa: PLR2004
        pids = [pid for pid, value in _marked(variable) if is_meant(value)]
        for pid in pids:
            kill_group(pid)
        nobody = 0 if pids else nobody + 1
        if not pids:
            time.sleep(_MOMENT)


def kill_group(pid: int) -> None:
    """Kill a process, and if it is the first of a process group, all of that."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _marked(variable: str) -> Iterator[tuple[int, str]]:
    """All other living processes of ours that have such a variable in their environment, and its value there."""
    for pid, found in _in_proc(variable) if _PROC.is_dir() else _by_psutil(variable):
        if pid != os.getpid():
            yield pid, found


def _in_proc(variable: str) -> Iterator[tuple[int, str]]:
    wanted = f"{variable}=".encode()
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            for entry in (folder / "environ").read_bytes().split(b"\0"):  # empty once it has ended
                if entry.startswith(wanted):
                    yield int(folder.name), os.fsdecode(entry[len(wanted) :])


def _by_psutil(variable: str) -> Iterator[tuple[int, str]]:
    """Where there is no ``/proc`` (macOS). Of programs of the system's own, it shows no environment there."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            found = process.environ().get(variable)
            if found is not None and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid, found


# -- the keeper --------------------------------------------------------------------------------------------


class Keeper:
    """One server, and the two pipes that say who is still there.

    Args:
        parent: Process id of the program.
        folder: The server's own; it is removed at the end.
        mark: Value of ``MARK`` in the workers' environment.
        line: File descriptor of the pipe whose other end the workers hold.
    """

    def __init__(self, parent: int, folder: str, mark: str, line: int) -> None:
        self._parent = parent
        self._folder = folder
        self._mark = mark
        self._open = {0, line}
        self._line = line

    def run(self, command: list[str]) -> None:
        """Start the server, and come back when there is nobody any more who needs it, and it has ended."""
        none = subprocess.DEVNULL
        server = subprocess.Popen(command, stdin=none, stdout=none, preexec_fn=_die_with(os.getpid()))  # noqa: PLW1509 - there is one thread
        told = False
        try:
            while 0 in self._open and os.getppid() == self._parent:
                self._look(_LOOK)
                if server.poll() is not None and not told:
                    os.close(1)  # our stdout: what the program takes for the server's end
                    told = True
            deadline = time.monotonic() + _LEAVE
            while self._line in self._open and (left := deadline - time.monotonic()) > 0:
                self._look(left)
            kill_carriers(MARK, self._mark.__eq__)
        finally:
            _end(server)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _look(self, seconds: float) -> None:
        """Wait for news of a pipe: it has ended, or has a byte, and either is the last that comes."""
        for pipe in select.select(self._open, [], [], seconds)[0]:
            self._open.discard(pipe)
            if pipe == self._line:
                kill_carriers(MARK, self._mark.__eq__)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _die_with(parent: int):  # type: ignore[no-untyped-def] # noqa: ANN202
    """What a child does before it becomes another program: be killed by the kernel when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask


def main() -> None:
    """``keeper.py PARENT FOLDER MARK LINE PSUTIL COMMAND...``; PSUTIL: the folder in which psutil is."""
    parent, folder, mark, line, library, *command = sys.argv[1:]
    sys.path.append(library)
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(signum, lambda *_: sys.exit(0))  # the end of a session, or of the machine
    Keeper(int(parent), folder, mark, int(line)).run(command)


if __name__ == "__main__":
    main()
