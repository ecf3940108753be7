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
import threading
import time

import cotyledon
import psutil
from processes import find, kill, tree

import taskq
from taskq.redis import services


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
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()
    manager.run()


def do_stuff(n: int) -> int:
    print(f"    Doing stuff {n}\n", end="", flush=True)
    time.sleep(0.3)
    return n * n


def with_cotyledon() -> None:
    with subprocess.Popen([sys.executable, __file__, "--seconds", "3"]) as process:
        manager = psutil.Process(process.pid)
        find(manager, "printer worker(1)")
        print(tree(manager), end="", flush=True)
        kill(manager, find(manager, "printer worker(0)"))
    print(f"    stopped, exit code {process.returncode}")


def with_taskq() -> None:
    with taskq.local(processes=2, services=2) as q:
        manager = find(psutil.Process(), "taskq: manager")
        job = q.map(do_stuff, range(12))
        next(iter(job))  # the first result is there, so both services are at it
        print(tree(manager), end="", flush=True)
        job.refresh()  # RQ's record of it, for the service which runs it
        owner = next(info for info in services.live(q.connection) if info.name == job.worker_name)
        kill(manager, psutil.Process(owner.pid))
        print(f"    Results: {job.get(timeout=30)}")
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
