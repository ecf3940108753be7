"""``make hosts``: 40 services of two processes on eight hosts, and a server on a ninth; Linux, as root.

make hosts                            all of it: a few minutes
make hosts ARGS='--hosts 2 --items 5'   a short look

The items of all maps sleep, so two cores are enough. After each map it is looked whether each result is there,
once.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskq import Queue
from taskq.maps.job import MapJob
from taskq.redis import services
from taskq.redis.connection import connect
from taskq.redis.server import find_program
from tests.hosts.network import Link, Network, network

SERVICES, PROCESSES = 5, 2  # of each host; processes of each service
LEASE = 10.0  # seconds
NAP = 0.5  # seconds of an item
PARTED = 2 * LEASE  # seconds
REST = 10.0  # seconds for which services that have nothing to do are looked at
_LATE, _END = 120.0, 60.0  # seconds after which something will never come; that a worker may take to end
_GLANCE = 0.1  # seconds between two looks

WAYS = {
    "as it is": Link(),
    "20 ms each way": Link(delay=0.020, jitter=0.005),
    "20 ms each way, 1 % lost": Link(delay=0.020, jitter=0.005, loss=0.01),
    "80 ms each way, 1 % lost": Link(delay=0.080, jitter=0.010, loss=0.01),
}


def until(condition: Callable[[], object]) -> None:
    """Wait for it: not as closely as tests do, for each look reads what all services say."""
    deadline = time.monotonic() + _LATE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"still not true after {_LATE:g} s: {condition}")
        time.sleep(_GLANCE)


@dataclass
class Place:
    """The server, and who works for it."""

    net: Network
    queue: Any
    processes: int
    items: int  # of a map, for each process

    @property
    def connection(self) -> Any:
        return self.queue.connection

    def asked(self) -> int:
        """Requests that have come to the server."""
        return int(self.connection.info("stats")["total_reads_processed"])

    def live(self) -> int:
        return len(services.live(self.connection))


@contextmanager
def server(net: Network, folder: Path) -> Iterator[Any]:
    """On the first host; we reach it by a socket in a folder, whatever becomes of the network."""
    socket = folder / "redis.sock"
    address = net.hosts[0].address
    command = [find_program(), "--bind", address, "--port", "6379", "--protected-mode", "no", "--save", "",
               "--unixsocket", str(socket), "--dir", str(folder), "--logfile", str(folder / "log")]  # fmt: skip
    process = subprocess.Popen(net.hosts[0].command(*command), stdin=subprocess.DEVNULL)
    try:
        until(socket.exists)
        with connect(f"unix://{socket}") as connection:
            yield Queue(connection=connection)
    finally:
        process.terminate()
        process.wait(_END)


@contextmanager
def workers(net: Network, connection: Any, folder: Path) -> Iterator[None]:
    """One on each of the other hosts, started one after the other."""
    url = f"redis://{net.hosts[0].address}:6379/0"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, host in enumerate(net.hosts[1:], 1):
            command = [sys.executable, "-m", "taskq_workers", "worker", "--url", url, "--services", str(SERVICES),
                       "--processes", str(PROCESSES), "--lease", str(LEASE)]  # fmt: skip
            environment = {**os.environ, "TASKQ_PRIVATE_REDIS": "1"}
            log = folder / f"worker-{number}.log"
            with log.open("wb") as file:
                started.append(subprocess.Popen(host.command(*command), stdin=subprocess.DEVNULL, stdout=file,
                                                stderr=file, env=environment))  # fmt: skip
            wanted = SERVICES * number
            until(lambda wanted=wanted: len(services.live(connection)) == wanted)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(_END)


def nap(n: int) -> int:
    """An item; it travels by value."""
    import time

    time.sleep(0.5)
    return n


def pushed(place: Place) -> MapJob:
    return place.queue.map(nap, range(place.processes * place.items))


def check(job: MapJob, place: Place) -> None:
    """See that each result is there once."""
    wanted = list(range(place.processes * place.items))
    if job.get(timeout=600) != wanted or sorted(job.result_list) != wanted:
        sys.exit(f"not each result once: {len(job.result_list)} of {len(wanted)}")


def timed(place: Place, what: str, meanwhile: Callable[[MapJob], None] = lambda _job: None) -> None:
    """Run a map, and say how long it took, over what it takes at least."""
    before = place.net.late
    began, carried, lost, asked = time.monotonic(), place.net.carried, place.net.lost, place.asked()
    job = pushed(place)
    meanwhile(job)
    check(job, place)
    took, least, items = time.monotonic() - began, place.items * NAP, place.items * place.processes
    packets, gone, ways = place.net.carried - carried, place.net.lost - lost, place.asked() - asked
    late = (place.net.late - before) / max(1, packets)
    print(f"{what:<40} {took:6.1f} s, {took / least:5.2f} times the least; {ways / items:.1f} requests an item; "
          f"{packets:,} packets, {gone:,} lost, the others {late * 1000:.0f} ms late", flush=True)  # fmt: skip


def rest(place: Place) -> None:
    """What services ask for that have nothing to do."""

    def told() -> tuple[float, float]:
        cpu, stats = place.connection.info("cpu"), place.connection.info("stats")
        seconds = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
        return seconds, stats["total_net_input_bytes"] + stats["total_net_output_bytes"]

    before, began = told(), time.monotonic()
    threading.Event().wait(REST)
    after, took = told(), time.monotonic() - began
    each = place.live() * took
    print(f"at rest, for each service: {(after[0] - before[0]) / each * 1e6:,.0f} us of the server and "
          f"{(after[1] - before[1]) / each:,.0f} bytes in a second", flush=True)  # fmt: skip


def part(place: Place, job: MapJob) -> None:
    """Cut half of the hosts off in the middle of a map, for longer than a lease, and let them come back."""
    until(lambda: len(job.result_list) > place.processes)
    hosts = place.net.hosts[1:]
    away = hosts[: len(hosts) // 2]
    all_there, left = SERVICES * len(hosts), SERVICES * (len(hosts) - len(away))
    for host in away:
        host.link = Link(parted=True)
    began = time.monotonic()
    until(lambda: place.live() == left)
    given_up = time.monotonic() - began
    done = len(job.result_list)
    threading.Event().wait(max(0.0, PARTED - given_up))
    went_on = len(job.result_list) - done
    for host in away:
        host.link = Link()
    began = time.monotonic()
    until(lambda: place.live() == all_there)
    print(f"  {len(away)} of {len(hosts)} hosts parted: given up after {given_up:.1f} s (a lease is {LEASE:g} s), "
          f"{went_on} items done by the others meanwhile; all {all_there} services back "
          f"{time.monotonic() - began:.1f} s after the healing", flush=True)  # fmt: skip


def said(folder: Path) -> None:
    """What workers have complained of, without what is another one's each time."""
    lines = (
        line for path in folder.glob("worker-*.log") for line in path.read_text(errors="replace").splitlines()
    )
    kinds = Counter(re.sub(r"\S*\d\S*", "*", line) for line in lines if re.search("WARNING|ERROR", line))
    for line, count in kinds.most_common(12):
        print(f"  {count:>5}  {line[:150]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("--hosts", type=int, default=8, help="beside the server's [8]")
    parser.add_argument("--items", type=int, default=30, help="of a map, for each process [30]")
    options = parser.parse_args()
    if os.geteuid() or not Path("/dev/net/tun").exists():
        sys.exit("NOT TESTED: this needs Linux, root, and /dev/net/tun")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = stack.enter_context(network(options.hosts + 1))
        queue = stack.enter_context(server(net, folder))
        began = time.monotonic()
        stack.enter_context(workers(net, queue.connection, folder))
        count = options.hosts * SERVICES
        print(f"{count} services of {PROCESSES} processes on {options.hosts} hosts, started in "
              f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        place = Place(net, queue, count * PROCESSES, options.items)
        rest(place)
        for what, link in WAYS.items():
            for host in net.hosts[1:]:
                host.link = link
            timed(place, what)
        for host in net.hosts[1:]:
            host.link = Link()
        place.items = max(place.items, int(3 * PARTED / NAP))
        timed(place, "half of the hosts parted, and back", lambda job: part(place, job))
        said(folder)


if __name__ == "__main__":
    main()
