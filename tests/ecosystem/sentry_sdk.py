"""sentry-sdk: an event and a transaction for each job that fails."""

from __future__ import annotations

from typing import Any

from rq import Queue

from tests.ecosystem import jobs
from tests.ecosystem.common import Stage, Trial, main, rq_worker, taskq_worker

SETTINGS = "tests.ecosystem.sentry_settings"
JOBS = 3
WAYS = (
    rq_worker("-c", SETTINGS),
    taskq_worker("--preload", SETTINGS),
    taskq_worker("--preload", SETTINGS, more=("--max-tasks-per-child", "1")),
)


def act(stage: Stage) -> None:
    queue = Queue(connection=stage.connection)
    for n in range(JOBS):
        queue.enqueue(jobs.fail, n, job_id=f"job-{n}")
    registry = queue.failed_job_registry
    stage.wait_until(lambda: registry.get_job_count(cleanup=False) == JOBS, "all jobs have failed")


def collect(stage: Stage) -> dict[str, Any]:
    """By job and type; of traces, whether a job's event and transaction are of the same one."""
    told = stage.told()
    traces = {(one["rq-job"]["job_id"], one.pop("trace")) for one in told}
    told.sort(key=lambda one: (one["rq-job"]["job_id"], one["type"]))
    return {"sent": told, "traces": len(traces)}


def sum_up(_acted: None, collected: dict[str, Any]) -> str:
    of_type = {
        kind: {one["rq-job"]["job_id"] for one in collected["sent"] if one["type"] == kind}
        for kind in ("event", "transaction")
    }
    events, transactions = (len(ids) for ids in of_type.values())
    return f"{events} events, {transactions} transactions, {collected['traces']} traces"


TRIAL = Trial(
    package="sentry-sdk",
    runs=f"{JOBS} jobs that fail, with `RqIntegration` and all traces",
    ways=WAYS,
    act=act,
    collect=collect,
    sum_up=sum_up,
    expected=f"{JOBS} events, {JOBS} transactions, {JOBS} traces",
)

if __name__ == "__main__":
    main(TRIAL)
