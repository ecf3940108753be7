"""Hosts whose clocks are wrong, or are set while something runs: nobody is taken for dead, nothing runs twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rq
from rq.job import JobStatus

from taskq import Queue
from taskq.redis import clock
from taskq.views import timeline
from tests import jobs
from tests.acceptance.worker import ROOT, Worker, Workers, repeated, run, runs_of
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

HOUR = 3600.0
BRISK = ("--lease", "5", "--maintenance-interval", "1", "--job-monitoring-interval", "1")


class Host:
    """A host with a clock of its own; its workers' processes go by it."""

    def __init__(self, folder: Path, off: float = 0.0) -> None:
        self._file = folder / f"clock{off:g}"
        self.set(off)

    def set(self, off: float) -> None:
        """Have the clock be ahead by so many seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(str(off))
        new.rename(self._file)  # at once, for it may be read at any moment

    @property
    def variables(self) -> dict[str, str]:
        path = f"{Path(__file__).parent / 'skew'}:{ROOT}"
        return {"PYTHONPATH": path, "SKEW": str(self._file)}


def start(workers: Workers, host: Host, *arguments: str) -> Worker:
    return workers.ready(3, *BRISK, *arguments, **host.variables)


def ended(job: Any) -> bool:
    return job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED)


def test_hosts_whose_clocks_are_wrong_harm_nobody(workers: Workers, real_queue: Queue, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    hosts = [Host(tmp_path, off) for off in (0.0, HOUR, -HOUR)]
    started = [start(workers, host) for host in hosts]
    plain = [real_queue.enqueue(jobs.run_once, str(ledger), n, 5.0) for n in range(4)]
    job = real_queue.starmap(jobs.run_once, [(str(ledger), n, 0.5) for n in range(100, 120)], chunksize=1)
    assert job.get(timeout=HANGS) == [n * n for n in range(100, 120)]
    wait_until(lambda: all(map(ended, plain)))
    assert [one.return_value(refresh=True) for one in plain] == [0, 1, 4, 9]
    assert repeated(ledger) == []
    assert len(runs_of(ledger)) == 24
    assert real_queue.failed_job_registry.count == 0
    assert not any("took over" in worker.output for worker in started)
    assert {len(worker.infos) for worker in started} == {1}
    told = ["this host's clock is 3600.0 s ahead of", "this host's clock is 3600.0 s behind"]
    found = [[words in worker.output for words in told] for worker in started]
    assert found == [[False, False], [True, False], [False, True]]


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_health_does_not_go_by_the_host_s_clock(
    workers: Workers, server_url: str, tmp_path: Path, off: float
) -> None:
    host = Host(tmp_path)
    start(workers, host)
    host.set(off)
    said = run("health", "--url", server_url, **host.variables)
    assert (said.returncode, said.stdout) == (0, "healthy: 1 services\n")


def test_a_clock_that_is_set_changes_nothing(workers: Workers, real_queue: Queue, tmp_path: Path) -> None:
    ledger, host = tmp_path / "ledger", Host(tmp_path)
    began = clock.ask(real_queue.connection)
    worker = start(workers, host)
    job = real_queue.starmap(jobs.run_once, [(str(ledger), n, 0.3) for n in range(30)], chunksize=1)
    plain = [real_queue.enqueue(jobs.run_once, str(ledger), n, 3.0, job_timeout=60) for n in (100, 101)]
    for off in (HOUR, -HOUR, 0.0):
        done = job.progress.done
        wait_until(lambda done=done: job.progress.done >= min(done + 4, 30))
        wait_until(lambda: plain[0].get_status() != JobStatus.QUEUED)
        host.set(off)
    assert job.get(timeout=HANGS) == [n * n for n in range(30)]
    wait_until(lambda: all(map(ended, plain)))
    assert [one.return_value(refresh=True) for one in plain] == [10_000, 10_201]
    assert repeated(ledger) == []
    now = clock.ask(real_queue.connection)
    for one in plain:
        one.refresh()
        assert 2.9 < (one.ended_at - one.started_at).total_seconds() < now - began
    assert 0 < job.return_value(refresh=True)["seconds"] < now - began
    entries = timeline.read(timeline.newest(real_queue.connection, 100))
    assert len(entries) == 30
    assert all(began - 1 < entry.start < entry.end < now + 1 for entry in entries)
    [known] = rq.Worker.all(real_queue.connection)
    assert 0 < known.total_working_time < 60 * (now - began)
    assert "took over" not in worker.output
