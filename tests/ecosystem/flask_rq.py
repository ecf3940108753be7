"""Flask-RQ: jobs in the context of the app, by its own worker, ``flask rq worker``, and by ours with ``--app``."""

from __future__ import annotations

import os
from typing import Any

from rq.job import Job

from tests.ecosystem.common import RQ, URL, Stage, Trial, Way, main, taskq_worker

APP = "tests.ecosystem.flask_app:create_app"
JOBS = ("plain", "async", "passing", "passed-on-Eve", "refused")


def act(stage: Stage) -> dict[str, Any]:
    """How the jobs have ended."""
    os.environ[URL] = stage.url
    from tests.ecosystem import flask_app

    with flask_app.create_app().app_context():
        flask_app.greet.enqueue("Ann", job_id="plain")
        flask_app.greet_later.enqueue("Bob", job_id="async")
        flask_app.pass_on.enqueue("Eve", job_id="passing")
        flask_app.refuse.enqueue("Mallory", job_id="refused")

    def statuses() -> list[str]:
        return [job.get_status().value if job else "" for job in Job.fetch_many(JOBS, stage.connection)]

    stage.wait_until(lambda: set(statuses()) <= {"finished", "failed"}, "all jobs have ended")
    jobs = [Job.fetch(name, connection=stage.connection) for name in JOBS]
    return {
        job.id: {"status": job.get_status().value, "value": job.return_value(), "error": error_of(job)}
        for job in jobs
    }


def error_of(job: Job) -> str | None:
    said = job.latest_result().exc_string
    return said.strip().splitlines()[-1] if said else None


def sum_up(acted: dict[str, Any], _collected: None) -> str:
    statuses = [one["status"] for one in acted.values()]
    said = [str(one["value"] or one["error"]) for one in acted.values()]
    greetings = sum("hello" in one and one.endswith("after []") for one in said)
    return f"{statuses.count('finished')} finished, {statuses.count('failed')} failed; {greetings} in new contexts"


TRIAL = Trial(
    package="Flask-RQ",
    runs="`@rq.job`: plain, async, one that enqueues another, one that fails; `flask rq worker` beside `--app`",
    ways=(Way(RQ, ("-m", "flask", "--app", APP, "rq", "worker")), taskq_worker("--app", APP)),
    act=act,
    collect=lambda _stage: None,
    sum_up=sum_up,
    expected="4 finished, 1 failed; 4 in new contexts",
)

if __name__ == "__main__":
    main(TRIAL)
