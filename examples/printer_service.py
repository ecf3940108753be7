"""A supervised service: cotyledon's PrinterService, and taskq's service, which cotyledon supervises as well.

In both a manager starts the children, gives them telling titles, and restarts the one that is killed. A printer
then starts afresh. What a taskq service was doing is handed on: "Doing stuff 3" may be printed twice, since that
item was cut off, but each result is there once.

    python examples/printer_service.py                   # both; needs psutil, to look at the processes
    python examples/printer_service.py --seconds 10      # only the printers, for so long
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import cotyledon
import psutil
from processes import find, kill, tree

import taskq
from taskq.redis import services

PROCESSES = 4  # of 2 services


class PrinterService(cotyledon.Service):
    name = "printer"

    def __init__(self, worker_id: int) -> None:
        super().__init__(worker_id)
        self._shutdown = threading.Event()

    def run(self) -> None:
        while not self._shutdown.is_set():
            print("    Doing stuff\n", end="", flush=True)
            time.sleep(1)

    def terminate(self) -> None:
        self._shutdown.set()


def printers(seconds: float) -> None:
    """As in cotyledon's manual, plus a timer. A manager takes its process over, so this one has its own."""
    manager = cotyledon.ServiceManager()
    manager.add(PrinterService, 2)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    manager.run()


def do_stuff(go: str, n: int) -> int:
    """Lasts until there is a file ``go``."""
    print(f"    Doing stuff {n}\n", end="", flush=True)
    while not Path(go).exists():
        time.sleep(0.05)
    return n * n


def with_cotyledon() -> None:
    command = [sys.executable, __file__, "--seconds", "3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed: list[str] = []
        threading.Thread(target=pass_on, args=(process.stdout, printed)).start()
        try:
            manager = psutil.Process(process.pid)
            find(manager, "printer worker(1)")
            print(tree(manager), end="", flush=True)
            kill(manager, find(manager, "printer worker(0)"))
            before = len(printed)
            while len(printed) < before + 4:  # both have printed again
                time.sleep(0.05)
        finally:
            process.terminate()
    print(f"    stopped, exit code {process.returncode}")


def pass_on(lines: Iterable[str], printed: list[str]) -> None:
    for line in lines:
        print(line, end="", flush=True)
        printed.append(line)


def with_taskq() -> None:
    with taskq.local(processes=PROCESSES // 2, services=2) as q, tempfile.TemporaryDirectory() as folder:
        manager, go = find(psutil.Process(), "taskq: manager"), Path(folder, "go")
        job = q.map(partial(do_stuff, str(go)), range(12))
        while job.progress.busy < PROCESSES:  # all of both services are at it
            time.sleep(0.05)
        print(tree(manager), end="", flush=True)
        job.refresh()  # RQ's record of it, for the service which runs it
        owner = next(info for info in services.live(q.connection) if info.name == job.worker_name)
        kill(manager, psutil.Process(owner.pid))
        go.touch()
        print(f"    Results: {job.get(timeout=300)}")
        print(f"    {len(job.result_list)} in the result list, {job.progress.failed} failed")
    print("    stopped")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, help="run only the printers, for so long")
    if seconds := parser.parse_args().seconds:
        printers(seconds)
    else:
        for example in (with_cotyledon, with_taskq):
            print(example.__name__, flush=True)
            example()
