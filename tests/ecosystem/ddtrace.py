"""ddtrace: the spans of jobs, in the traces of those who have enqueued them."""

from __future__ import annotations

import os
from typing import Any

from rq import Queue

from tests.ecosystem import jobs
from tests.ecosystem.common import URL, Stage, Trial, main, rq_worker, taskq_worker

SETTINGS = "tests.ecosystem.ddtrace_settings"
VARIABLES = {
    "DD_RQ_DISTRIBUTED_TRACING_ENABLED": "true",
    # Nothing is sent to Datadog.
    "DD_TRACE_AGENT_URL": "unix:///nowhere",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
}


def act(stage: Stage) -> None:
    os.environ[URL] = stage.url  # where this process tells its own spans
    from tests.ecosystem import ddtrace_settings  # noqa: F401 - the producer's spans, too

    queue = Queue(connection=stage.connection)
    good, bad = queue.enqueue(jobs.square, 3, job_id="good"), queue.enqueue(jobs.fail, 3, job_id="bad")
    stage.wait_until(lambda: good.is_finished and bad.is_failed, "both jobs have ended")


def collect(stage: Stage) -> dict[str, Any]:
    """The spans, sorted, by job; and how many traces they are of."""
    spans = stage.told()
    traces = {(span["tags"]["job.id"], span.pop("trace")) for span in spans}
    spans.sort(key=lambda span: (span["tags"]["job.id"], span["name"]))
    return {"spans": spans, "traces": len(traces)}


def sum_up(_acted: None, collected: dict[str, Any]) -> str:
    spans = collected["spans"]
    return (
        f"{', '.join(sorted({span['name'] for span in spans}))}: {len(spans)} spans, {collected['traces']} traces"
    )


TRIAL = Trial(
    package="ddtrace",
    runs="a job, and one that fails, with `patch(rq=True)`",
    ways=(rq_worker("-c", SETTINGS), taskq_worker("--preload", SETTINGS)),
    act=act,
    collect=collect,
    sum_up=sum_up,
    expected="rq.job.perform, rq.queue.enqueue_job, rq.worker.perform_job: 6 spans, 2 traces",
)

if __name__ == "__main__":
    os.environ.update(VARIABLES)
    main(TRIAL)
