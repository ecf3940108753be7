"""A map's callback that its own alarm does not end holds its process no longer than its time, and a moment."""

from __future__ import annotations

from rq import Callback
from rq.command import send_stop_job_command

from taskq import MapJob, Queue
from taskq.testing import running_worker
from tests import jobs, rq_jobs
from tests.waiting import LONG, wait_until

DEAF = Callback(rq_jobs.rest_deaf, timeout=1)


def reason(job: MapJob) -> str:
    return job.store.info().reason


def test_callbacks_of_maps_which_no_alarm_ends(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=3):
        good = real_queue.map(jobs.square, range(3), on_success=DEAF)
        bad = real_queue.map(jobs.invert, [0], on_failure=DEAF)
        stopped = real_queue.map(jobs.nap, [0, LONG], chunksize=1, on_stopped=DEAF)
        wait_until(lambda: len(stopped.result_list) == 1)
        send_stop_job_command(real_queue.connection, stopped.id)
        others = [real_queue.enqueue(jobs.square, n) for n in range(3)]
        for job in (good, bad, stopped):
            wait_until(lambda job=job: job.get_status().value in ("failed", "stopped"))
        wait_until(lambda: all(job.is_finished for job in others))
    assert good.get() == [0, 1, 4]
    assert "died by SIGKILL (timeout)" in reason(good)
    assert "died by SIGKILL (timeout)" in reason(bad)
