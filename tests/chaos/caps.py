"""``make caps SECONDS=60``: caps and retries of items on three hosts, while services and processes are killed.

Whether no more run at once than may is seen by the kernel: each item takes one of so many locks, which are free
the moment its process is dead, and not before. An item that finds none writes that down: it is a violation.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil

from taskq import Queue, Retry
from taskq.maps.job import MapJob
from tests.acceptance.worker import Server
from tests.chaos.site import DURABLE, Host
from tests.waiting import HANGS, wait_until

AT_ONCE, RATE, PER_SECOND = 3, "25/s", 25
LATE = 0.25  # seconds that an item may begin after it was handed out, on a busy machine
OPTIONS = ("--processes", "2", "--lease", "3", "--grace", "2")


@contextlib.contextmanager
def slot(folder: str, most: int) -> Iterator[None]:
    """One of so many places; a note that there was none."""
    for number in range(most):
        with Path(folder, f"slot-{number}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield
            return
    with Path(folder, "too-many").open("a", encoding="utf-8") as notes:
        notes.write(f"{time.monotonic()}\n")
    yield


def note(folder: str, kind: str, n: int) -> int:
    """A line for a run of an item; how many there are of this item by then."""
    path = Path(folder, f"{kind}-{n}")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{time.monotonic()}\n")
    return len(path.read_text(encoding="utf-8").splitlines())


def held(folder: str, n: int) -> int:
    with slot(folder, AT_ONCE):
        note(folder, "held", n)
        time.sleep(random.uniform(0.01, 0.08))
    return n


def paced(folder: str, n: int) -> int:
    note(folder, "paced", n)
    return n


def flaky(folder: str, n: int) -> int:
    """Fails the first two times."""
    if note(folder, "flaky", n) <= 2:
        raise ConnectionError(n)
    return n


def moments(folder: Path, kind: str) -> list[float]:
    """When items of this kind have begun."""
    return sorted(float(line) for one in folder.glob(f"{kind}-*") for line in one.read_text().splitlines())


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most that there are within any time of that length."""
    first = most = 0
    for last, moment in enumerate(times):
        while times[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def rampage(hosts: Sequence[Host], until: float, chance: random.Random) -> Counter[str]:
    """Kill services and processes until a moment of the monotonic clock."""
    deeds: Counter[str] = Counter()
    while time.monotonic() < until:
        for host in hosts:
            host.tend()
        host = chance.choice(hosts)
        parts = host.parts()
        kind = chance.choice(["service", "service", "pool process", "pool process", "pool process", "manager"])
        started = {worker.pid for worker in host.workers}  # a child that is just being forked looks like a manager
        managers = [one for one in parts.managers if one.pid in started]
        of = {"service": parts.services, "pool process": parts.pool, "manager": managers}[kind]
        if of:
            victim = chance.choice(of)
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if kind == "manager":
                    host.killed.add(victim.pid)
                os.kill(victim.pid, signal.SIGKILL)
                deeds[kind] += 1
        time.sleep(chance.uniform(0.1, 0.5))
    return deeds


def run(seconds: float, seed: int, folder: Path) -> list[str]:
    """Let it all happen; returns what was wrong."""
    chance, ledger = random.Random(seed), str(folder)
    count = int(seconds * 40)
    with contextlib.ExitStack() as stack:
        server = Server(folder, *DURABLE)
        server.start()
        stack.callback(server.kill)
        queue = Queue(url=server.url)
        hosts = [Host(number, server.url, folder, *OPTIONS) for number in range(3)]
        for host in hosts:
            stack.callback(host.close)
        jobs: list[MapJob[int]] = [
            queue.map(partial(held, ledger), range(count), chunksize=1, max_running=AT_ONCE),
            queue.map(partial(paced, ledger), range(count), rate=RATE),
            queue.map(partial(flaky, ledger), range(count), item_retry=Retry(9, backoff=(0.2, 2, 2))),
        ]
        deeds = rampage(hosts, time.monotonic() + seconds, chance)
        began = time.monotonic()
        while not all(job.ready() for job in jobs) and time.monotonic() < began + HANGS + seconds:
            for host in hosts:
                host.tend()
            time.sleep(0.1)
        ended = time.monotonic() - began
        problems = [f"{job.id} has not ended" for job in jobs if not job.ready()]
        for job in jobs:
            values = job.get(timeout=HANGS, errors="return")
            problems += [f"item {n} has {value!r}" for n, value in enumerate(values) if value != n][:5]
        if (folder / "too-many").exists():
            problems.append(
                f"{len((folder / 'too-many').read_text().splitlines())} found {AT_ONCE} others running"
            )
        paced_at = moments(folder, "paced")
        if (most := most_within(paced_at, 1.0 - LATE)) > PER_SECOND:
            problems.append(f"{most} items began within {1.0 - LATE} s by a rate of {RATE}")
        gap = max((b - a for a, b in pairwise(moments(folder, "held"))), default=0.0)
        print(  # noqa: T201 - it is what a person waits for
            f"seed {seed}: {dict(deeds)}; all ended {ended:.1f} s later. {count} items each: "
            f"{len(moments(folder, 'held'))} runs of which {AT_ONCE} at once, the longest gap {gap:.2f} s; "
            f"{len(paced_at)} runs, {most_within(paced_at, 1.0)} at most within a second by {RATE}; "
            f"{len(moments(folder, 'flaky'))} runs of what fails twice"
        )
        wait_until(lambda: not queue.connection.keys("taskq:{*}:later"))
        return problems


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.caps", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they are killed [20]")
    parser.add_argument("--seed", type=int, default=None, help="who is killed when [a new one]")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix=f"taskq-caps-{seed}-"))
    problems = run(options.seconds, seed, folder)
    print("\n".join(f"VIOLATION: {one}" for one in problems) or "no violation")  # noqa: T201 - as above
    if not problems:
        shutil.rmtree(folder)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
