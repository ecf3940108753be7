"""rq-scheduler: jobs that its process puts into the queue when they are due, once and periodically."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rq.job import Job
from rq_scheduler import Scheduler

from tests.ecosystem import jobs
from tests.ecosystem.common import Stage, Trial, main, rq_worker, taskq_worker

COMMAND = (str(Path(sys.executable).with_name("rqscheduler")), "--interval", "0.1")
RUNS = 3
SECOND = timedelta(seconds=1)


def act(stage: Stage) -> dict[str, Any]:
    """What is known of both jobs when they have run as often as they are to."""
    scheduler = Scheduler(connection=stage.connection)
    once = scheduler.enqueue_in(SECOND, jobs.note, "once", job_id="once")
    often = scheduler.schedule(
        datetime.now(UTC).replace(tzinfo=None),  # as it takes times: in UTC, and not saying so
        jobs.note, ["often"], interval=SECOND.seconds, repeat=RUNS, id="often",
    )  # fmt: skip
    with stage.running(*COMMAND):
        stage.wait_until(lambda: len(often.results()) == RUNS and once.is_finished, "all runs have ended")
    stage.wait_until(lambda: often.is_finished, "the periodic one has ended")
    return {job.id: known(job) for job in (once, often)} | {"scheduled": list(map(str, scheduler.get_jobs()))}


def known(job: Job) -> dict[str, Any]:
    job.refresh()
    return {
        "status": job.get_status().value,
        "results": [(result.type.name, result.return_value) for result in job.results()],
        "meta": job.meta,
        "result_ttl": job.result_ttl,
        "lives": job.connection.ttl(job.key) == -1,
    }


def collect(stage: Stage) -> list[dict[str, str]]:
    return sorted(stage.told(), key=lambda one: one["ran"])


def sum_up(acted: dict[str, Any], collected: list[dict[str, str]]) -> str:
    ran = [one["ran"] for one in collected]
    return "; ".join(f"{job}: {ran.count(job)} x, {acted[job]['status']}" for job in ("once", "often"))


TRIAL = Trial(
    package="rq-scheduler",
    runs=f"`rqscheduler`: `enqueue_in` and `schedule(interval=1, repeat={RUNS})`",
    ways=(rq_worker(), taskq_worker()),
    act=act,
    collect=collect,
    sum_up=sum_up,
    expected=f"once: 1 x, finished; often: {RUNS} x, finished",
)

if __name__ == "__main__":
    main(TRIAL)
