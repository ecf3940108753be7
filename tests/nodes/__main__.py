"""What becomes of a map while something of its cluster is killed again and again; a line for each kind.

    make dask                       # 20 workers, 20 bridges, 5 schedulers; 3 workers stopped for a while
    make dask ARGS='worker=50'

Nothing may be lost, doubled or blamed, and nothing may be left on the nodes. A worker of this host's runs the same
map beside the bridge in the last line.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from taskq import MapJob, Queue
from taskq.redis import keys
from taskq.redis.connection import connect
from taskq.redis.server import private_server
from tests.acceptance.worker import ROOT
from tests.dask_cluster import Cluster, cluster
from tests.waiting import HANGS, wait_until

USUAL = {"worker": 20, "bridge": 20, "scheduler": 5, "stopped": 3, "mixed": 10}
ITEMS = 3000
LEASE = 5  # seconds


def nap(n: int) -> int:
    time.sleep(0.02)
    return n


class Site:
    """A server, a cluster of two nodes, a bridge, and perhaps a worker of this host's."""

    def __init__(self, url: str, dask: Cluster, *, beside: bool) -> None:
        self.dask, self._url = dask, url
        self.workers = [
            self._start("--engine", dask.engine),
            *([self._start("--processes", "1")] if beside else []),
        ]
        self.queue = Queue(connection=connect(url))

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "taskq_workers", "worker", "--url", self._url, "--lease", str(LEASE)]
        return subprocess.Popen([*command, "--log-level", "critical", *options], cwd=ROOT)

    def kill_worker(self) -> None:
        self.dask.kill(random.choice(self.dask.workers))
        self.dask.start_worker(1)

    def kill_bridge(self) -> None:
        for one in psutil.Process(self.workers[0].pid).children():
            if "taskq: service" in " ".join(one.cmdline()):
                one.kill()

    def kill_scheduler(self) -> None:
        self.dask.kill(self.dask.scheduler)
        for worker in list(self.dask.workers):
            self.dask.kill(worker)
        self.dask.start_scheduler()
        self.dask.start_worker(1)
        self.dask.start_worker(1)

    def stop_worker(self) -> None:
        worker = random.choice(self.dask.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * LEASE)
        worker.send_signal(signal.SIGCONT)

    def any_of_them(self) -> None:
        random.choice([self.kill_worker, self.kill_bridge, self.kill_scheduler])()

    def act(self, kind: str) -> None:
        acts: dict[str, Callable[[], None]] = {
            "worker": self.kill_worker, "bridge": self.kill_bridge, "scheduler": self.kill_scheduler,
            "stopped": self.stop_worker, "mixed": self.any_of_them,
        }  # fmt: skip
        acts[kind]()

    def leave(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            assert worker.wait(HANGS) == 0


def on_nodes() -> list[int]:
    """The processes of seats that there are."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if "taskq: seat of" in " ".join(one.info["cmdline"] or ())
    ]


def verdict(job: MapJob) -> str:
    """What is wrong; "" if nothing is."""
    results = job.get(timeout=HANGS * 3, errors="return")
    killed = [entry for _id, entry in job.connection.xrange(keys.TIMELINE) if entry[b"outcome"] == b"killed"]
    blamed = job.connection.hlen(job.store.keys.deaths) + len(killed)  # of a service's death, of a process's
    lost = sum(value != n for n, value in enumerate(results))
    doubled = len(job.result_list) - ITEMS
    return f"{lost} lost, {doubled} doubled, {blamed} blamed" if lost or doubled or blamed else ""


def run(kind: str, count: int) -> str:
    with private_server() as url, cluster(workers=2, threads=1) as dask:
        site = Site(url, dask, beside=kind == "mixed")
        site.queue.map(nap, range(10)).get(timeout=HANGS)
        began = time.monotonic()
        done, rounds, wrong = 0, 0, ""
        while done < count and not wrong:
            job = site.queue.map(nap, range(ITEMS))
            rounds += 1
            while done < count and not job.ready():
                time.sleep(random.uniform(0.3, 1.5))
                site.act(kind)
                done += 1
            wrong = verdict(job)
        took = time.monotonic() - began
        site.leave()
        wait_until(lambda: not on_nodes(), "no process of a seat is left")
    print(
        f"{kind:10} {done:3} times, {rounds} maps of {ITEMS} items in {took:5.1f} s: {wrong or 'well'}", flush=True
    )
    return wrong


def main() -> None:
    told = dict(one.split("=") for one in sys.argv[1:])
    counts = {kind: int(count) for kind, count in told.items()} or USUAL
    wrong = [kind for kind, count in counts.items() if run(kind, count)]
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
