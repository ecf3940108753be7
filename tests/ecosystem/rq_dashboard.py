"""rq-dashboard: its pages and data, beside a worker that has run jobs, and its button that requeues one."""

from __future__ import annotations

import re
from typing import Any

from rq import Queue, Worker
from rq_dashboard.cli import make_flask_app
from rq_dashboard.web import setup_rq_connection

from tests.ecosystem import jobs
from tests.ecosystem.common import Stage, Trial, main, rq_worker, taskq_worker

PAGES = ("view/queues", "view/jobs", "view/workers", "view/job/good", "view/job/bad")
DATA = (
    "data/queues",
    "data/workers",
    "data/job/good",
    "data/job/bad",
    *(f"data/jobs/default/{registry}/8/asc/1" for registry in ("queued", "started", "finished", "failed")),
)
DIFFERS = re.compile(r"name|pid|birth_date|last_heartbeat|total_working_time|\w+_at")


def act(stage: Stage) -> dict[str, Any]:
    """What the dashboard shows after two jobs, and after the failed one was requeued there."""
    queue = Queue(connection=stage.connection)
    queue.enqueue(jobs.square, 3, job_id="good", meta={"of": "the producer"})
    queue.enqueue(jobs.fail, 3, job_id="bad")
    app = make_flask_app(None, None, None, "")
    app.config["RQ_DASHBOARD_REDIS_URL"] = stage.url
    setup_rq_connection(app)
    client = app.test_client()
    stage.wait_until(lambda: counts(stage) == [(1, 1)], "both jobs have ended")
    before = {path: client.get(f"/0/{path}.json").json for path in DATA}
    requeued = client.post("/job/bad/requeue").json
    stage.wait_until(lambda: counts(stage) == [(1, 2)], "the failed one has failed again")
    after = {path: client.get(f"/0/{path}.json").json for path in DATA}
    pages = {path: client.get(f"/0/{path}", follow_redirects=True).status_code for path in PAGES}
    return {"before": masked(before), "requeued": requeued, "after": masked(after), "pages": pages}


def counts(stage: Stage) -> list[tuple[int, int]]:
    """How many jobs each worker that has nothing to do has ended: well, and not so."""
    workers = Worker.all(stage.connection)
    return [(one.successful_job_count, one.failed_job_count) for one in workers if one.get_state() == "idle"]


def masked(shown: Any) -> Any:
    """Without the values that are others in each run; of an exception, its last line."""
    if isinstance(shown, list):
        return [masked(one) for one in shown]
    if not isinstance(shown, dict):
        return shown
    masks = {key: masked(value) for key, value in shown.items()}
    masks |= {key: "*" for key, value in shown.items() if "pid" in shown and DIFFERS.fullmatch(key) and value}
    masks |= {key: "*" for key, value in shown.items() if key.endswith("_at") and value}
    if shown.get("exc_info"):
        masks["exc_info"] = shown["exc_info"].strip().splitlines()[-1]
    return masks


def sum_up(acted: dict[str, Any], _collected: None) -> str:
    queues, workers = (acted["after"][f"data/{what}"][what] for what in ("queues", "workers"))
    [queue], [worker] = queues, workers
    opened = [path for path, status in acted["pages"].items() if status == 200]
    return (
        f"{queue['finished_job_registry_count']} finished, {queue['failed_job_registry_count']} failed; "
        f"the worker {worker['state']}, {worker['failed_job_count']} failures; {len(opened)} pages"
    )


TRIAL = Trial(
    package="rq-dashboard",
    runs="a job, and one that fails and is requeued there: queues, registries, jobs, workers",
    ways=(rq_worker(), taskq_worker()),
    act=act,
    collect=lambda _stage: None,
    sum_up=sum_up,
    expected=f"1 finished, 1 failed; the worker idle, 2 failures; {len(PAGES)} pages",
)

if __name__ == "__main__":
    main(TRIAL)
