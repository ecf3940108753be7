"""What user code sees as its job, before and after it has asked for more than running it needs."""

from __future__ import annotations

import copy
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rq import get_current_job
from rq.job import Job, JobStatus
from rq.timeouts import JobTimeoutException

from taskq import Queue
from taskq.payload import codec, signing
from taskq.payload.signed_job import SignedJob
from taskq.payload.signing import Keyring
from taskq_workers.link.tasks import JobOutcome, JobTask
from taskq_workers.process import jobs as pool_jobs
from taskq_workers.process.job_run import run_job
from taskq_workers.process.late_job import LateJob
from tests import jobs
from tests.waiting import HANGS

FIELDS = {
    b"created_at": b"2026-01-01T00:00:00.000001Z", b"enqueued_at": b"2026-01-01T00:00:00.000002Z",
    b"started_at": b"", b"ended_at": b"", b"last_heartbeat": b"", b"worker_name": b"", b"group_id": b"",
    b"data": zlib.compress(codec.dumps(("tests.jobs.hooked", None, (3,), {}))), b"status": b"queued",
    b"origin": b"default", b"description": b"what it is", b"timeout": b"180", b"result_ttl": b"5",
    b"meta": codec.dumps({"by": "hand"}), b"success_callback_name": b"", b"failure_callback_name": b"",
}  # fmt: skip


def late() -> LateJob:
    job = LateJob.of("one", FIELDS, codec.Serializer, "worker")
    assert job is not None
    return job


def run(monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], Any], **fields: bytes) -> JobOutcome:
    """Run a job whose code is ``act`` of the current job."""
    monkeypatch.setitem(jobs.hooks, "call", lambda _item: act(get_current_job()))
    mine = FIELDS | {name.encode(): value for name, value in fields.items()}
    return run_job(JobTask("one", mine, "worker"))


def test_it_stays_late_where_nobody_asks() -> None:
    job = late()
    job.started_at, job._status = None, JobStatus.STARTED
    assert (job.func_name, job.args, job.kwargs, job.timeout) == ("tests.jobs.hooked", (3,), {}, 180)
    assert (job.id, job.key, job.worker_name) == ("one", "rq:job:one", "worker")
    assert job.success_callback is None
    assert type(job) is LateJob


@pytest.mark.parametrize("name", sorted(vars(pool_jobs.job_of("one", FIELDS, "worker"))))
def test_every_attribute_is_as_rq_reads_it(name: str) -> None:
    whole = pool_jobs.job_of("one", FIELDS, "worker")
    job = late()
    assert getattr(job, name) == getattr(whole, name)
    if type(job) is not LateJob:
        assert type(job) is SignedJob
        assert vars(job) == vars(whole) | {"connection": job.connection}


def test_what_was_set_before_stays() -> None:
    job = late()
    job._status, job.description, job.new = JobStatus.STARTED, None, 1  # type: ignore[attr-defined]
    assert job.origin == "default"
    assert (job._status, job.description, job.new) == (JobStatus.STARTED, None, 1)  # type: ignore[attr-defined]


def test_what_it_has_not() -> None:
    with pytest.raises(AttributeError, match="'SignedJob' object has no attribute 'nonsense'"):
        _ = late().nonsense
    assert not hasattr(LateJob.__new__(LateJob), "origin")


def test_a_copy_is_late_too() -> None:
    job = copy.copy(late())
    assert type(job) is LateJob
    assert job.meta == {"by": "hand"}


def test_threads_that_ask_at_the_same_time_have_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    job, all_there = late(), threading.Barrier(3)
    restore = SignedJob.restore

    def together(one: SignedJob, fields: Any) -> None:
        restore(one, fields)
        all_there.wait(HANGS)

    monkeypatch.setattr(SignedJob, "restore", together)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda n: job.meta.update({n: n}), range(3)))
    assert job.meta == {"by": "hand", 0: 0, 1: 1, 2: 2}


def test_an_alarm_leaves_it_late(monkeypatch: pytest.MonkeyPatch) -> None:
    job = late()

    def alarm(_job: SignedJob, _fields: Any) -> None:
        raise JobTimeoutException

    with monkeypatch.context() as patch:
        patch.setattr(SignedJob, "restore", alarm)
        with pytest.raises(JobTimeoutException):
            _ = job.meta
    assert job.unchanged(frozenset({"meta", "timeout"}))
    assert job.meta == {"by": "hand"}


def test_its_class_finds_other_jobs(fake_queue: Queue) -> None:
    sent = fake_queue.enqueue(jobs.square, 3, meta={"by": "hand"})
    found = late().fetch(sent.id, connection=fake_queue.connection)
    assert (found.args, found.meta, found.origin) == ((3,), {"by": "hand"}, fake_queue.name)
    found.refresh()
    assert found.get_status() == "queued"


def test_restored_anew() -> None:
    job = late()
    job.restore(FIELDS | {b"description": b"another"})
    assert (type(job), job.description, job.origin) == (SignedJob, "another", "default")


@pytest.mark.parametrize(
    "fields",
    [{b"success_callback_name": b"a.b"}, {b"failure_callback_name": b"a.b"}, {b"stopped_callback_name": b"a.b"},
     {b"webhooks": b"[]"}, {b"retry_intervals": b"1"}, {b"created_at": b"long ago"},
     {b"created_at": b"2026-01-01"}, {b"enqueued_at": b"2026-01-01T00:00:00.0000011"}, {b"description": b"\xff"},
     {b"timeout": b"soon"}, {b"result_ttl": b"?"}, {b"of a later RQ": b"1"}],
)  # fmt: skip
def test_not_with_more_to_do_nor_damaged(fields: dict[bytes, bytes]) -> None:
    assert LateJob.of("one", FIELDS | fields, codec.Serializer, "worker") is None


def test_not_where_all_of_it_is_to_be_checked(request: pytest.FixtureRequest) -> None:
    signing.use(Keyring.parse("k" * 32))
    request.addfinalizer(signing._in_use.clear)
    assert LateJob.of("one", FIELDS, codec.Serializer, "worker") is None


def test_not_without_data() -> None:
    assert LateJob.of("one", {}, codec.Serializer, "worker") is None


def test_no_timeout() -> None:
    for text in (b"", b"-1"):
        job = LateJob.of("one", FIELDS | {b"timeout": text}, codec.Serializer, "worker")
        assert job is not None
        assert job.timeout == (int(text) if text else None)


# -- what the service hears of it -------------------------------------------------------------------


def test_nothing_is_said_of_what_only_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, lambda job: (type(job).__name__, job.description, job.meta))
    assert codec.loads(outcome.value or b"") == ("LateJob", "what it is", {"by": "hand"})
    assert outcome.changes is None


@pytest.mark.parametrize("look", [False, True])
@pytest.mark.parametrize(("name", "value"), [("description", None), ("timeout", 7), ("result_ttl", 9), ("ttl", 1)])
def test_what_job_code_sets_is_said(monkeypatch: pytest.MonkeyPatch, name: str, value: Any, *, look: bool) -> None:
    def change(job: Job) -> None:
        _ = job.origin if look else None
        setattr(job, name, value)

    assert run(monkeypatch, change).changes == {name: value}


def test_new_arguments_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, lambda job: setattr(job, "args", (4,)))
    assert outcome.changes is not None
    assert codec.loads(outcome.changes["_data"]) == ("tests.jobs.hooked", None, (4,), {})


def test_what_a_failing_job_has_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Job) -> None:
        job.result_ttl = 1
        raise ValueError("as it must")

    outcome = run(monkeypatch, fail)
    assert "ValueError: as it must" in (outcome.error or "")
    assert outcome.changes == {"result_ttl": 1}


def test_a_hash_that_cannot_be_read_fails_the_job_as_in_rq(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "long ago" in (run(monkeypatch, lambda _job: None, created_at=b"long ago").error or "")
