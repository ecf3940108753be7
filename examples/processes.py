"""For looking at a manager's processes, and for killing one; used by printer_service.py. Needs psutil."""

from __future__ import annotations

import sys
import time

import psutil


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:  # it has just ended
        return ""


def find(parent: psutil.Process, text: str, but: int = 0) -> psutil.Process:
    """Wait for a descendant with this text in its title, other than the process with the number ``but``."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in parent.children(recursive=True):
            if text in title(process) and process.pid != but:
                return process
        time.sleep(0.01)
    sys.exit(f"there is no process {text!r}")


def tree(process: psutil.Process, indent: str = "    ") -> str:
    """A process and its descendants, one line each."""
    lines = [f"{indent}{process.pid} {title(process)[:60]}\n"]
    return "".join(lines + [tree(child, indent + "   ") for child in process.children()])


def kill(manager: psutil.Process, victim: psutil.Process) -> None:
    """``kill -9`` a child of the manager, and wait until another one has its title."""
    name = title(victim)
    victim.kill()
    started = time.monotonic()
    heir = find(manager, name, but=victim.pid)
    seconds = time.monotonic() - started
    print(f"    kill -9 {victim.pid} ({name}): {heir.pid} has its place after {seconds:.2f} s", flush=True)
