"""How long until work goes on after something died: ``python -m benchmarks.recovery``; writes docs/recovery.md.

Every item leaves a line in a ledger of its process when it starts, so the same is measured of every system:

- *next*: from the kill to the first start in a process that is new;
- *again*: from the kill to the new start of what the killed processes were running;
- *pause*: the longest time without any start, from the event until ten more items have started.

The others need the extra ``peers``; without it, or with ``--only taskq``, they are left out.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rq.defaults import DEFAULT_MAINTENANCE_TASK_INTERVAL

from benchmarks import bad_items
from benchmarks.ledger import Ledger
from benchmarks.systems import Celery, Rq, System, Taskq
from tests.acceptance.worker import Server

_BLAME = """
## Who is blamed

Not measured but tested (tests/acceptance/test_quarantine.py): 600 plain jobs of milliseconds beside three that
kill their whole service, on four processes; and a map of 1000 items, one of which kills its service, in chunks of
any size. Each of them is given up after three deaths, with the signal and the host named, and all else ends well.
So it does where the whole container goes each time, manager and all. How: [architecture](architecture.md#blame).
"""
PAGE = Path(__file__).parents[1] / "docs" / "recovery.md"
LEASE = 2.0  # seconds, where a host is lost
ROUNDS = 20
NO_ANSWER = 10.0  # seconds after which we stop waiting for what does not come
_NO_ANSWER_ROUNDS = 3
_PAUSE_OF = 10  # starts after an event until which the longest pause counts

Times = list[float | None]
Row = tuple[str, ...]


def kills(system: System, kill: Callable[[], set[int]], rounds: int) -> tuple[Times, Times]:
    """Kill in mid-work, some rounds: the times of *next* and *again*; None: not within ``NO_ANSWER``."""
    nexts, agains = Times(), Times()
    for _ in range(rounds):
        ledger = Ledger(Path(tempfile.mkdtemp(dir=system.folder)))
        system.push(ledger.path)
        ledger.wait(lambda ledger=ledger: len(ledger.starts()) >= 10)  # noqa: PLR2004
        old = {start.pid for start in ledger.starts()}
        at, victims = ledger.now(), kill()
        lost = ledger.running(victims)
        nexts.append(ledger.first(lambda start, old=old: start.pid not in old, at, NO_ANSWER))
        agains += [ledger.first(lambda start, n=n: start.n == n, at, NO_ANSWER) for n in lost]
        system.clear()
    return nexts, agains


def pauses(system: System, event: Callable[[], object], rounds: int) -> Times:
    """The longest pause after an event."""
    times = Times()
    for _ in range(rounds):
        ledger = Ledger(Path(tempfile.mkdtemp(dir=system.folder)))
        system.push(ledger.path)
        ledger.wait(lambda ledger=ledger: len(ledger.starts()) >= 10)  # noqa: PLR2004
        at = ledger.now()
        event()
        times.append(ledger.pause(at, _PAUSE_OF, NO_ANSWER))
        system.clear()
    return times


def cell(times: Times, less: float = 0.0) -> str:
    """Median and worst in milliseconds; what did not come is said so."""
    if not times:
        return "nothing was lost"
    came = [(time - less) * 1000 for time in times if time is not None]
    if len(came) < len(times):
        return f"{len(times) - len(came)} of {len(times)} not within {NO_ANSWER:.0f} s"
    return f"{statistics.median(came):.0f} / {max(came):.0f} ms"


def of_taskq(server: Server, folder: Path, rounds: int) -> list[Row]:
    rows = []
    with Taskq(server, folder) as one:
        nexts, agains = kills(one, one.kill_pool_process, rounds)
        rows.append(("pool process killed", "taskq", cell(nexts), cell(agains)))
        nexts, _ = kills(one, one.kill_manager, rounds)
        rows.append(
            ("manager killed, its supervisor restarts it at once", "taskq", cell(nexts), "nothing: drained")
        )
        rows.append(("Redis killed and restarted", "taskq", *_pause(one, one.restart_redis, rounds)))
        rows.append(("all connections cut", "taskq", *_pause(one, one.cut, rounds)))
    nexts, agains = Times(), Times()
    for _ in range(rounds):  # a new manager each: one whose services die again and again delays their restart
        with Taskq(server, folder) as one:
            times = kills(one, one.kill_service, 1)
        nexts += times[0]
        agains += times[1]
    rows.insert(1, ("service killed", "taskq", cell(nexts), cell(agains)))
    agains = Times()
    for _ in range(rounds):
        with Taskq(server, folder, "--lease", str(LEASE), hosts=2) as pair:
            agains += kills(pair, pair.lose_host, 1)[1]
    rows.append(
        (f"host lost, lease {LEASE:.0f} s", "taskq", "the other host works on", f"lease + {cell(agains, LEASE)}")
    )
    rows += [
        (what, "taskq", f"the error {cell(times)} after `map`", "") for what, times in bad_items.times(rounds)
    ]
    return rows


def _pause(system: System, event: Callable[[], object], rounds: int) -> tuple[str, str]:
    return f"pause {cell(pauses(system, event, rounds))}", ""


def of_rq(server: Server, folder: Path, rounds: int) -> list[Row]:
    rows = []
    with Rq(server, folder) as rq:
        nexts, agains = kills(rq, rq.kill_horse, rounds)
        rows.append(
            (
                "pool process killed",
                "RQ: its horse, Retry(3); the job goes behind all others",
                cell(nexts),
                cell(agains),
            )
        )
        nexts, _ = kills(rq, rq.kill_worker, rounds)
        rows.append(("service killed", "RQ: worker of a pool", cell(nexts), "its horse ends the job"))
        _, agains = kills(rq, rq.kill_worker_and_horse, _NO_ANSWER_ROUNDS)
        maintenance = f"then found at a worker's next maintenance, each {DEFAULT_MAINTENANCE_TASK_INTERVAL} s"
        left = f"no answer: {cell(agains)}; stays started for {rq.started_for:.0f} s, {maintenance}"
        rows.append(("host lost", "RQ: worker and horse", "", left))
        rows.append(("Redis killed and restarted", "RQ", *_pause(rq, rq.restart_redis, rounds)))
        rows.append(("all connections cut", "RQ", *_pause(rq, rq.cut, rounds)))
    return rows


def of_celery(server: Server, folder: Path, rounds: int) -> list[Row]:
    rows = []
    with Celery(server, folder) as celery:
        nexts, agains = kills(celery, celery.kill_pool_process, rounds)
        rows.append(
            (
                "pool process killed",
                "Celery: late ack, reject on lost; the task goes behind all others",
                cell(nexts),
                cell(agains),
            )
        )
        nexts, agains = kills(celery, celery.kill_service, _NO_ANSWER_ROUNDS)
        left = f"no answer: {cell(agains)}; visibility_timeout is 3600 s"
        rows.append(("service killed", "Celery: its worker, restarted at once", cell(nexts), left))
        rows.append(("Redis killed and restarted", "Celery", *_pause(celery, celery.restart_redis, rounds)))
        rows.append(("all connections cut", "Celery", *_pause(celery, celery.cut, rounds)))
    return rows


def measure(only: str, rounds: int) -> list[Row]:
    systems = {"taskq": of_taskq, "rq": of_rq, "celery": of_celery}
    rows = []
    for name, rows_of in systems.items():
        if only not in ("", name) or find_spec(name) is None:
            continue
        folder = Path(tempfile.mkdtemp(prefix="recovery-"))
        server = Server(folder, "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        try:
            for row in rows_of(server, folder, rounds):
                print(" | ".join(row), flush=True)
                rows.append(row)
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--only", default="", choices=["", "taskq", "rq", "celery"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    rows = measure(options.only, options.rounds)
    if options.only:
        return
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("rq", "celery", "redis", "cotyledon") if find_spec(name)
    )
    order = list(dict.fromkeys(row[0].split(",")[0] for row in rows))
    rows.sort(key=lambda row: order.index(row[0].split(",")[0]))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    PAGE.write_text(
        f"""# Recovery, measured

Written by `python -m benchmarks.recovery` (the others need the extra `peers`): {options.rounds} rounds each,
median / worst. *Next* is the time from the kill to the first start of an item in a new process, *again* to the
new start of what the killed processes ran. A *pause* is the longest time without any start after the event,
Redis's own restart included. Items take 0.1 s, two run at a time (RQ: one). Absolute times depend on the machine.

Python {platform.python_version()}, {packages}; {platform.system()} {platform.machine()}.

| what | system | next | again |
|---|---|---|---|
"""
        + "\n".join(lines)
        + "\n"
        + _BLAME
    )


if __name__ == "__main__":
    main()
