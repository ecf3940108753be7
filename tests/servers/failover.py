"""Ten fail-overs in the middle of maps: ``make failover``; a line for each.

    make failover                             # 10, of all kinds; about three minutes
    make failover ARGS='lossy=20 killed=5'

Three servers and three sentinels, one worker with two processes. Each map is on all servers when its fail-over
comes; what is said of the map after that is checked to the last item: each result is there, once, and right.

kind     what is done to the primary
-------  ------------------------------------------------------------------------------------------------
killed   SIGKILL
lossy    its replicas hear nothing of it while commits go on; then SIGKILL: all of that is lost
frozen   SIGSTOP, as a host that swaps, or a network that is cut; it comes back when another is the primary
asked    SENTINEL FAILOVER: it lives on, takes what it is told for some seconds, and is made a replica then
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from taskq import MapJob, Queue
from tests import jobs
from tests.acceptance.worker import Worker, repeated
from tests.servers.site import NAME, Node, Site, site
from tests.waiting import HANGS, wait_until

USUAL = {"lossy": 4, "killed": 2, "frozen": 2, "asked": 2}
ITEMS = 600
SECONDS = 0.04  # that an item runs
SOON = 2.0  # seconds from the new primary's being there until something is committed on it
_LOST = 10  # commits which the replicas do not hear of, at least


@dataclass
class Row:
    """What came of one fail-over; seconds and items."""

    kind: str
    promoted: float  # from the fault until another server is the primary
    went_on: float  # from then until there is a commit on it
    lost: int  # results that were committed and are not there any more
    again: int  # items that ran more than once
    wrong: str

    def __str__(self) -> str:
        return (
            f"{self.kind:7} new primary after {self.promoted:5.2f} s, work goes on {self.went_on:5.2f} s later; "
            f"{self.lost:3} commits lost with the old one, {self.again:3} items ran again: {self.wrong or 'well'}"
        )


def done(node: Node, job: MapJob) -> int:
    """How many items have a result, there."""
    with suppress(redis.RedisError):
        return int(node.asked.hget(job.store.keys.hash, "done") or 0)
    return 0


def strike(there: Site, old: Node, job: MapJob, kind: str) -> int:
    """Bring the fail-over about; returns how many items were done by then, as far as anybody knows."""
    if kind == "lossy":
        there.cut(old)
        before = done(old, job)
        wait_until(lambda: done(old, job) >= before + _LOST, "commits that no replica hears of")
    known = done(old, job)
    if kind == "frozen":
        old.signal(signal.SIGSTOP)
    elif kind == "asked":
        there.sentinels[0].asked.execute_command("SENTINEL", "FAILOVER", NAME)
    else:
        old.kill()
    return known


def promoted(there: Site, old: Node) -> Node:
    found: list[Node] = []

    def look() -> bool:
        found[:] = [one for one in there.servers if one is not old and one.runs and one.is_primary]
        return bool(found)

    wait_until(look, "another server is the primary")
    return found[0]


def one_round(there: Site, queue: Queue, kind: str, ledger: Path) -> Row:
    old = there.primary
    job = queue.starmap(jobs.run_once, [(str(ledger), n, SECONDS) for n in range(ITEMS)], chunksize=2)
    wait_until(lambda: done(old, job) >= ITEMS // 10, "the map is under way")
    old.asked.wait(len(there.servers) - 1, HANGS * 1000)
    known, struck = strike(there, old, job, kind), time.monotonic()
    new = promoted(there, old)
    at, first = time.monotonic(), done(new, job)
    wait_until(lambda: done(new, job) > first, "something is committed on the new primary")
    went_on = time.monotonic() - at
    if kind == "frozen":
        old.signal(signal.SIGCONT)
    wrong = verdict(job)
    there.mend()
    if not old.runs:
        there.join(old)
    if went_on > SOON:
        wrong = f"{wrong}; late".lstrip("; ")
    return Row(kind, at - struck, went_on, max(0, known - first), len(repeated(ledger)), wrong)


def verdict(job: MapJob) -> str:
    """What is wrong with a map's results; "" if nothing is."""
    results: list[Any] = job.get(timeout=HANGS, errors="return")
    lost = sum(value != n * n for n, value in enumerate(results)) + ITEMS - len(results)
    doubled = len(job.result_list) - ITEMS
    return f"{lost} lost, {doubled} doubled" if lost or doubled else ""


def run(counts: dict[str, int]) -> list[Row]:
    kinds = [kind for n in range(max(counts.values())) for kind, count in counts.items() if n < count]
    with tempfile.TemporaryDirectory() as name, site() as there:
        worker = Worker(there.url, "--processes", "2", log=Path(name, "log")).wait_until_ready()
        queue = Queue(url=there.url, patience=60)
        rows = []
        for n, kind in enumerate(kinds):
            rows.append(one_round(there, queue, kind, Path(name, f"ledger-{n}")))
            print(rows[-1], flush=True)
        ended = worker.stop()
        if ended or "Traceback" in worker.output:
            print(worker.output)
            sys.exit(f"the worker ended with {ended}")
        queue.connection.close()
    return rows


def main() -> None:
    told = dict(one.split("=") for one in sys.argv[1:])
    rows = run({kind: int(count) for kind, count in told.items()} or USUAL)
    bad = [row for row in rows if row.wrong]
    print(
        f"{len(rows)} fail-overs, {len(rows) - len(bad)} of them well; {sum(row.lost for row in rows)} commits "
        f"lost with old primaries; work went on within {max(row.went_on for row in rows):.2f} s"
    )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
