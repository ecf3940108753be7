"""What each thing that a fleet asks of its server costs that server, in CPU time, measured on a real private one.

The server's own clock of its CPU (``INFO cpu``) is read before and after many calls, so what else the machine does
at the time counts for nothing, and neither does what the calls cost who makes them.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from taskq import Queue
from taskq.maps.claim import Claim
from taskq.maps.runner import run_chunk
from taskq.maps.store import MapStore, function_codec
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome
from taskq.redis import checked, keys, services
from taskq.redis.connection import connect
from taskq.redis.lua import Scripts
from taskq.redis.server import private_server
from taskq.redis.services import ServiceInfo
from taskq.views import activity
from taskq.views.activity import Activity, ProcessActivity
from taskq.views.timeline import TimelineNote
from tests.waiting import HANGS, wait_until

PROCESSES = 64  # of each service of the fleet
_HEARD = 0.2  # seconds in which a note has come to all that hear
_LIVING, _LIVES = 4, 20.0  # services, and for how many seconds they are looked at


@dataclass(frozen=True)
class Costs:
    """Microseconds of the server's CPU.

    Args:
        chunk: To claim a chunk of one item and to commit it, alone in its round trips.
        chunk_of_many: The same, eight chunks in one round trip, as busy services do.
        item: Each further item of a chunk.
        look: At the registers of one queue, with no open map in it.
        look_map: Each open map of that queue.
        alive: All that a service with 64 processes asks in a second in which it has nothing to do.
        renew: A lease, with all that goes with it.
        tell: The activity of a service with 64 processes.
        hear: To send one note to one service.
        count: To count the cores of all, for each service.
        progress: To count which of them are busy, for each service.
    """

    chunk: float
    chunk_of_many: float
    item: float
    look: float
    look_map: float
    alive: float
    renew: float
    tell: float
    hear: float
    count: float
    progress: float


class Server:
    """A private server, and a connection to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Any = connect(url)
        self.scripts = Scripts(self.connection)
        self.scripts.load()

    def micros(self) -> float:
        told = self.connection.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"]) * 1e6

    def cost(self, call: Callable[[], object], times: int) -> float:
        """Microseconds of the server's that one call costs."""
        call()
        before = self.micros()
        for _ in range(times):
            call()
        return (self.micros() - before) / times


@contextmanager
def server() -> Iterator[Server]:
    with private_server() as url:
        yield Server(url)


def _same(value: int) -> int:
    return value


class Chunks:
    """Chunks of a map that is open, with what came of each; claimed and committed as a service does it."""

    def __init__(self, on: Server, count: int, items: int) -> None:
        job = Queue(connection=on.connection).map(_same, range(count * items), chunksize=items)
        assert job.incarnation
        self._server = on
        self.store = MapStore(job.id, on.connection, on.scripts, incarnation=job.incarnation)
        assert self.store.open("owner") is not None
        self._function = function_codec(self.store.known, star=False).loads(
            function_codec(self.store.known, star=False).dumps(Function.of(_same))
        )

    def _outcome(self, claim: Claim) -> ChunkOutcome:
        came = run_chunk(self._function, self.store.known, False, claim.range, claim.body, 1 << 20)
        assert isinstance(came, ChunkOutcome)
        return came

    def run(self, together: int) -> None:
        """Claim some chunks in one round trip, and commit them in another, where the next ones are claimed."""
        reply = self.store.claim("owner", together)
        claims = MapStore.read_claims(reply, "owner").claims
        assert len(claims) == together, "there are too few"
        with self._server.connection.pipeline(transaction=False) as pipe:
            for claim in claims:
                self.store.commit(claim, self._outcome(claim), TimelineNote("host", "owner", 1, 1, "ok"), pipe)
            replies = pipe.execute()
        assert all(MapStore.read_commit(one).committed for one in replies)


def _chunks(items: int, together: int, times: int) -> float:
    with server() as on:
        chunks = Chunks(on, (times + 1) * together, items)
        return on.cost(lambda: chunks.run(together), times) / together


def info(number: int, queues: tuple[str, ...] = ("default",)) -> ServiceInfo:
    """Of a service of the fleet."""
    pids = tuple(range(10_000, 10_000 + PROCESSES))
    name = f"taskq-host-{number:05}.example-ab12cd-0-{number}-a1b2c3"
    return ServiceInfo(
        name, f"host-{number:05}.example", 4321, PROCESSES, queues, "3.13.1", 1.7e9, pids, build="a" * 16,
        lease=30.0,
    )  # fmt: skip


def telling(number: int, job: str = "") -> Activity:
    """What such a service tells of itself."""
    rows = tuple(
        ProcessActivity(lane, 10_000 + lane, 1.7e9, 50_000_000, 12.34, 0, job, "1000:12" if job else None, 1.7e9)
        for lane in range(PROCESSES)
    )
    return Activity(info(number).name, info(number).host, 4321, 1.7e9, 60_000_000, 123.4, rows)


def register(on: Server, count: int, job: str = "") -> None:
    """As many services, with leases, which tell that they run this job."""
    for number in range(count):
        services.renew(on.scripts, info(number), 3000.0)
        with on.connection.pipeline(transaction=False) as pipe:
            activity.tell(pipe, telling(number, job))
            pipe.execute()


def _look(maps: int, times: int) -> float:
    with server() as on:
        queue = Queue(connection=on.connection)
        for _ in range(maps):
            job = queue.map(_same, range(2), chunksize=1)
            MapStore(job.id, on.connection, on.scripts, incarnation=job.incarnation or "").open("owner")
        before, after = keys.MapKeys("|").hash.split("|")
        args = [keys.OPEN, before, after, "rq:queue:", 200, 0, "worker", "default"]
        return on.cost(lambda: on.scripts.look(["rq:suspended"], args), times)


def _hear(ears: int, times: int) -> float:
    """Microseconds to send a note to one of so many services."""
    with server() as on:
        heard = [connect(on.url).pubsub() for _ in range(ears)]
        for ear in heard:
            ear.subscribe(keys.NOTES)
        threading.Event().wait(_HEARD)
        note = keys.note(keys.IDLE, "a" * 36)
        return on.cost(lambda: on.connection.publish(keys.NOTES, note), times) / ears


def _registers(count: int) -> tuple[float, float, float, float]:
    """To renew, to tell; to count, and to look at progress, for each service."""
    with server() as on:
        register(on, count, "f" * 36)
        renew = on.cost(lambda: services.renew(on.scripts, info(1), 3000.0), 300)
        told = telling(2, "e" * 36)

        def tell() -> None:
            with on.connection.pipeline(transaction=False) as pipe:
                activity.tell(pipe, told)
                pipe.execute()

        def busy() -> None:
            on.connection.delete(keys.BUSY)  # where what was counted is kept for others
            activity.cores_on(on.scripts, "f" * 36)

        def cores() -> None:
            on.connection.delete(keys.FLEET)
            services.cores(on.connection, "default")

        progress, counted = on.cost(busy, 20) / count, on.cost(cores, 20) / count
        return renew, on.cost(tell, 300), counted, progress


def _tell_of_one() -> float:
    """To tell the activity of a service with one process."""
    with server() as on:
        told = replace(telling(1), processes=telling(1).processes[:1])

        def tell() -> None:
            with on.connection.pipeline(transaction=False) as pipe:
                activity.tell(pipe, told)
                pipe.execute()

        return on.cost(tell, 300)


def _alive() -> float:
    """What real services ask for in a second, each, with one process and nothing to do."""
    with server() as on, local_workers(on.url, _LIVING) as ready:
        ready()
        before, began = on.micros(), time.monotonic()
        threading.Event().wait(_LIVES)
        return (on.micros() - before) / (time.monotonic() - began) / _LIVING


@contextmanager
def local_workers(url: str, count: int) -> Iterator[Callable[[], None]]:
    """A worker of so many services; yields what waits until they are there."""
    command = [sys.executable, "-m", "taskq_workers", "worker", "--url", url, "--services", str(count)]
    process = subprocess.Popen([*command, "--processes", "1", "--log-level", "error"], stdin=subprocess.DEVNULL)
    try:
        with connect(url) as connection:
            yield lambda: wait_until(lambda: len(services.live(connection)) == count)
    finally:
        process.terminate()
        process.wait(HANGS)


def measure(times: int = 400) -> Costs:
    """All of them; takes some seconds."""
    one = _chunks(1, 1, times)
    many, hundred = _chunks(1, 8, times // 4), _chunks(100, 1, times // 2)
    none, some = _look(0, times), _look(50, times // 4)
    renew, tell, count, progress = _registers(200)
    alive = _alive() + max(0.0, tell - _tell_of_one())
    return Costs(
        one,
        many,
        (hundred - one) / 99,
        none,
        (some - none) / 50,
        alive,
        renew,
        tell,
        _hear(100, 100),
        count,
        progress,
    )


def least(runs: int) -> Costs:
    """Of several measurements the least of each: what else a machine does makes all dearer, and none less."""
    found = [asdict(measure()) for _ in range(runs)]
    return Costs(**{name: min(one[name] for one in found) for name in found[0]})


def sizes() -> dict[str, int]:
    """Bytes of what a service says of itself."""
    return {"register": len(checked.dumps(asdict(info(1)))), "activity": len(checked.dumps(asdict(telling(1))))}


def rounded(costs: Costs) -> dict[str, float]:
    """For people: two digits."""
    return {name: float(f"{value:.2g}") for name, value in asdict(costs).items() if math.isfinite(value)}


if __name__ == "__main__":
    print(rounded(measure()), sizes())
