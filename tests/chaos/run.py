"""One run of chaos, from an empty server to its report."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from taskq import Queue
from taskq.maps.store import MapStore
from taskq.redis import keys
from taskq.redis.connection import connect
from tests.chaos import audit, schedule, works
from tests.chaos.load import Load, Pushed
from tests.chaos.monkey import Monkey
from tests.chaos.site import QUEUES, Site
from tests.chaos.watcher import Watcher, longest_gap
from tests.waiting import HANGS

LEASE = 1.5  # seconds
PATIENCE = 5.0 * HANGS  # seconds which all jobs get to end, once the chaos is over
_REST = HANGS  # seconds until nothing of the jobs is in anybody's books
_STRANGE = ("Traceback (most recent call last)", "Fatal Python error")
_USUAL = ("redis.exceptions.", ": exception raised while executing (")


@dataclass
class Report:
    """What became of a run."""

    seed: int
    seconds: float
    folder: Path
    problems: list[str] = field(default_factory=list)
    deeds: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    items: int = 0
    runs: int = 0
    again: int = 0
    given_up: int = 0
    commits: int = 0
    gap: tuple[float, float] = (0.0, 0.0)  # seconds, and when it began in the run

    @property
    def repeat(self) -> str:
        return f"make chaos SECONDS={self.seconds:g} SEED={self.seed}"

    def __str__(self) -> str:
        maps = ", ".join(f"{count} {kind}" for kind, count in sorted(self.jobs.items()))
        deeds = "\n".join(f"    {count:4} {kind}" for kind, count in self.deeds.most_common())
        lines = [
            f"seed {self.seed}, {self.seconds:g} s: {self.deeds.total()} deeds",
            deeds,
            f"jobs: {maps}",
            (
                f"items: {self.items:,} ended, {self.runs:,} runs, {self.again:,} ran again after a death, "
                f"{self.given_up} given up since they were killed too often"
            ),
            (
                f"commits: {self.commits:,}; longest gap while there was work: {self.gap[0]:.2f} s, "
                f"from second {self.gap[1]:.1f}"
            ),
            f"evidence: {self.folder}",
        ]
        if self.problems:
            lines += [f"{len(self.problems)} VIOLATIONS", *(f"  - {problem}" for problem in self.problems)]
            lines.append(f"to repeat: {self.repeat}")
        else:
            lines.append("no violation")
        return "\n".join(lines)


def run(seed: int, seconds: float, folder: Path, log: Callable[[str], None], least: int = 0) -> Report:
    """Let the monkey loose for some seconds, let all jobs end, and look at what there is.

    Jobs are pushed until the monkey is back, and until so many items at ``least`` have ended.
    """
    report = Report(seed, seconds, folder)
    with tempfile.TemporaryDirectory(prefix="chaos-") as sockets:
        site = Site(folder, Path(sockets).resolve(), LEASE)
        try:
            _run(report, site, log, least)
        finally:
            site.close()
            if report.problems:  # with everything in Redis: a server on this folder shows it
                shutil.copytree(Path(sockets) / "appendonlydir", folder / "appendonlydir", dirs_exist_ok=True)
    return report


def _run(report: Report, site: Site, log: Callable[[str], None], least: int) -> None:
    load = Load(site.url, str(site.ledger), schedule.orders(report.seed, QUEUES), site.rollbacks)
    monkey = Monkey(site, schedule.deeds(report.seed, report.seconds, LEASE), log)
    watcher = Watcher(site.url)
    began = time.time()
    load.start()
    watcher.start()
    monkey.run(report.seconds)
    _tend_until(site, lambda: load.items >= least or load.finished.is_set(), PATIENCE)
    load.enough.set()
    _tend_until(site, load.finished.is_set, PATIENCE)
    watcher.stop()
    report.deeds = monkey.done
    if load.error:
        report.problems.append(f"the producer failed: {load.error!r}")
    with connect(site.url) as connection:
        _look(report, site, load, connection)
    report.commits = len(watcher.commits)
    gap, at = longest_gap(watcher.commits, load.pushed, time.time())
    report.gap = gap, at - began


def _tend_until(site: Site, condition: Callable[[], object], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        site.tend()
        time.sleep(0.02)
    return True


def _look(report: Report, site: Site, load: Load, connection: object) -> None:
    problems = report.problems
    queue = Queue(connection=connection)
    stuck = load.outstanding
    for one in stuck:
        status = queue.connection.hget(f"rq:job:{one.id}", "status")
        problems.append(f"{one.id} has not ended {PATIENCE:.0f} s after the chaos: {status}")
    if not stuck:
        _tend_until(site, lambda: not audit.not_at_rest(connection), _REST)
        problems += audit.not_at_rest(connection)
    # Services that died with their host have a lease for a while; then nothing must be left of them.
    _tend_until(site, lambda: _all_known(queue, site), _REST)
    for host in site.hosts:
        host.stop()
    _tend_until_gone(site)
    for host in site.hosts:
        problems += host.codes
        problems += [f"process {p.pid} is left of host {host.number}" for p in host.parts().all]
    problems += site.orphans
    runs, blamed = site.runs(), site.blamed()
    for one in load.pushed:
        if one not in stuck:
            problems += audit.job_problems(queue, one, runs, blamed)
    if not stuck:
        problems += audit.left_over(connection, load.pushed, load.abandoned)
    problems += _strange_logs(report.folder)
    report.given_up = audit.given_up(connection, load.pushed)
    _count(report, load, queue, runs)


def _all_known(queue: Queue, site: Site) -> bool:
    """Whether the services that live have a lease, and nobody else has."""
    leases = {int(name.split(b"-")[-2]) for name in queue.connection.zrange(keys.LEASES, 0, -1)}
    return leases == {service.pid for host in site.hosts for service in host.parts().services}


def _tend_until_gone(site: Site) -> None:
    deadline = time.monotonic() + HANGS
    while any(host.parts().all for host in site.hosts) and time.monotonic() < deadline:
        time.sleep(0.05)


def _count(report: Report, load: Load, queue: Queue, runs: dict[tuple[str, int], int]) -> None:
    there = [one for one in load.pushed if queue.connection.exists(f"rq:job:{one.id}")]
    report.jobs = Counter(f"{one.order.kind} {'maps' if one.is_map else 'plain'}" for one in there)
    report.items = sum(_ended(queue, one) for one in there)
    report.runs = sum(runs.values())
    kinds = {label: one.order.kind for one in load.pushed for label in one.labels}
    report.again = sum(max(0, count - works.runs_needed(kinds[job], n)) for (job, n), count in runs.items())


def _ended(queue: Queue, one: Pushed) -> int:
    """Items with a result or an error; a cancelled map has not all of them."""
    if not one.is_map:
        return 1
    info = MapStore(one.id, queue.connection).info()
    return info.done + info.failed


_RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)


def _strange_logs(folder: Path) -> list[str]:
    """Where a worker met what nobody had thought of; not RQ's tracebacks of a lost Redis, or of a failed job."""
    return [
        f"{log.name}: {record.splitlines()[0]} ... {record.splitlines()[-1]}"
        for log in sorted(folder.glob("host-*.log"))
        for record in _RECORD.split(log.read_text(errors="replace"))
        if any(words in record for words in _STRANGE) and not any(words in record for words in _USUAL)
    ]
