"""sentry-sdk: an event and a transaction for each job that fails, which say nothing of other jobs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from rq import Queue

from tests.ecosystem import jobs
from tests.ecosystem.common import Stage, Trial, main, rq_worker, taskq_worker

SETTINGS = "tests.ecosystem.sentry_settings"
JOBS = 3
INTRODUCED = ("ann", "bob", "eve")
WAYS = (
    rq_worker("-c", SETTINGS),
    taskq_worker("-c", SETTINGS),
    taskq_worker("-c", SETTINGS, more=("--max-tasks-per-child", "1")),
)
LATE = """
from taskq_workers.process import around
with around.ready():
    import sentry_sdk
    sentry_sdk.set_user({"id": "first"})
    sentry_sdk.get_current_scope().set_tag("customer", "first")
with around.ready():
    scope = sentry_sdk.get_isolation_scope()
    print(scope._user, scope._tags, sentry_sdk.get_current_scope()._tags)
"""
"""A piece that is the first to import it, and the next one."""


def act(stage: Stage) -> str:
    """What a second piece is told, if the first one has imported it."""
    queue = Queue(connection=stage.connection)
    for name in INTRODUCED:
        queue.enqueue("tests.ecosystem.sentry_jobs.introduce", name, job_id=name)
    for n in range(JOBS):
        queue.enqueue(jobs.fail, n, job_id=f"job-{n}")
    registry = queue.failed_job_registry
    stage.wait_until(lambda: registry.get_job_count(cleanup=False) == JOBS, "all jobs have failed")
    return subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True).stdout.strip()


def collect(stage: Stage) -> dict[str, Any]:
    """By job and type; of traces, whether a job's event and transaction are of the same one."""
    told = stage.told()
    traces = {(one["rq-job"]["job_id"], one.pop("trace")) for one in told}
    told.sort(key=lambda one: (one["rq-job"]["job_id"], one["type"]))
    return {"sent": told, "traces": len(traces)}


def sum_up(late: str, collected: dict[str, Any]) -> str:
    of_type = {
        kind: {one["rq-job"]["job_id"] for one in collected["sent"] if one["type"] == kind}
        for kind in ("event", "transaction")
    }
    events, transactions = (len(ids) for ids in of_type.values())
    foreign = [one for one in collected["sent"] if not _is_own(one)]
    said = f"{events} events, {transactions} transactions, {collected['traces']} traces"
    return f"{said}; {len(foreign) + (late != 'None {} {}')} of them with another job's user, tags or steps"


def _is_own(sent: dict[str, Any]) -> bool:
    """Whether it says of itself what its own job has said, and nothing else."""
    name = sent["rq-job"]["job_id"]
    own = {"user": {"id": name}, "customer": name} if name in INTRODUCED else {}  # a transaction has no steps
    said = {"user": sent["user"], "customer": (sent["tags"] or {}).get("customer"), "steps": sent["steps"]}
    return {key: value for key, value in said.items() if value} == own


TRIAL = Trial(
    package="sentry-sdk",
    runs=f"{len(INTRODUCED)} jobs that set user, tags and breadcrumbs, {JOBS} that fail; all traces",
    ways=WAYS,
    act=act,
    collect=collect,
    sum_up=sum_up,
    expected=f"{JOBS} events, {JOBS + len(INTRODUCED)} transactions, {JOBS + len(INTRODUCED)} traces; "
    "0 of them with another job's user, tags or steps",
)

if __name__ == "__main__":
    main(TRIAL)
