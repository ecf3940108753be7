"""What becomes of a job's meta which its code, a callback or a handler has changed is what RQ makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rq

from taskq import Queue
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.testing import running_worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.user_code import UserCode
from tests import jobs, rq_jobs
from tests.integration.test_same_as_rq import masked
from tests.waiting import wait_until

Options = dict[str, Any]

_OVER = (b"finished", b"failed", b"scheduled")

TWICE = rq.Retry(max=2)
OLD = {"old": [1]}
NOTED, NOTED_AND_SAVED = rq.Callback(rq_jobs.note_in_meta), rq.Callback(rq_jobs.note_and_save)


def count(how: str, save: bool, **options: Any) -> Options:
    return {"func": rq_jobs.count_in_meta, "kwargs": {"how": how, "save": save}, **options}


def saved_or_not(save: bool) -> dict[str, Options]:
    return {
        "fails": count("fail", save, retry=TWICE),
        "fails with meta from before": count("fail", save, retry=TWICE, meta=OLD),
        "fails and waits": count("fail", save, retry=rq.Retry(max=2, interval=60), meta=OLD),
        "asks for more": count("again", save),
        "asks for more with meta from before": count("again", save, meta=OLD),
        "repeated": count("", save, repeat=rq.Repeat(times=3)),
        "failed": count("fail", save, meta=OLD),
        "finished": count("", save, meta=OLD),
        "emptied": {"func": rq_jobs.empty_meta, "kwargs": {"save": save}, "meta": OLD, "retry": rq.Retry(max=1)},
    }


INVERT: Options = {"func": jobs.invert, "args": (0,)}
FAILING = {"retried": INVERT | {"retry": TWICE}, "failed": INVERT | {"meta": OLD}}
JOBS: dict[str, Options] = {
    **{f"{name}, saved": options for name, options in saved_or_not(True).items()},
    **{f"{name}, unsaved": options for name, options in saved_or_not(False).items()},
    **{f"{name}, callback": options | {"on_failure": NOTED} for name, options in FAILING.items()},
    **{f"{name}, callback saves": options | {"on_failure": NOTED_AND_SAVED} for name, options in FAILING.items()},
    "success callback": {"func": jobs.square, "args": (3,), "on_success": NOTED, "repeat": rq.Repeat(times=2)},
}


def id_of(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def left(by: Callable[[rq.Queue], None], queue: Queue, pushed: dict[str, Options]) -> dict[str, Options]:
    """The jobs' hashes; meta unpickled, for RQ's own pickles are of another protocol."""
    queue.connection.flushdb()
    plain = rq.Queue(connection=queue.connection)
    for name, options in pushed.items():
        plain.enqueue_call(**options, job_id=id_of(name))
    by(plain)
    hashes = {name: masked(queue.connection.hgetall(f"rq:job:{id_of(name)}")) for name in pushed}
    for fields in hashes.values():
        fields[b"meta"] = codec.loads(fields[b"meta"]) if b"meta" in fields else None
    return hashes


def compare(queue: Queue, pushed: dict[str, Options], *handlers: Any) -> None:
    def theirs(plain: rq.Queue) -> None:
        rq.SimpleWorker([plain], connection=plain.connection, exception_handlers=list(handlers)).work(burst=True)

    def ours(plain: rq.Queue) -> None:
        user = UserCode(exception_handlers=tuple(Function.of(handler) for handler in handlers))
        with running_worker(queue, processes=1, rq=RQOptions(user)):
            wait_until(
                lambda: all(plain.connection.hget(f"rq:job:{id_of(name)}", "status") in _OVER for name in pushed)
            )

    assert left(ours, queue, pushed) == left(theirs, queue, pushed)


def test_the_same_meta_is_left(real_queue: Queue) -> None:
    compare(real_queue, JOBS)


@pytest.mark.parametrize("handler", [rq_jobs.note_in_meta, rq_jobs.note_and_save])
def test_the_same_meta_is_left_by_handlers(real_queue: Queue, handler: Any) -> None:
    compare(real_queue, FAILING, handler)


def test_meta_that_can_not_be_pickled_keeps_no_job_from_its_retry(real_queue: Queue) -> None:
    job = rq.Queue(connection=real_queue.connection).enqueue(
        rq_jobs.spoil_meta, meta=OLD, retry=rq.Retry(max=1, interval=60)
    )
    with running_worker(real_queue, processes=1):
        wait_until(lambda: job.get_status() == rq.job.JobStatus.SCHEDULED)
        assert job.get_meta() == OLD


def test_a_maps_callback_saves_meta_for_its_retry(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=1):
        job = real_queue.map(jobs.invert, [0], meta=OLD, retry=rq.Retry(max=1), on_failure=NOTED_AND_SAVED)
        wait_until(lambda: job.get_status() == rq.job.JobStatus.FAILED)
        assert job.get_meta() == OLD | {"calls": 2}
