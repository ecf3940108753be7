"""A map that is not what it was when it was read: who goes on reading hears so, and gets nothing wrong (I8)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import rq
from rq.job import Job, JobStatus

from taskq import DuplicateJobError, MapCanceledError, MapJob, Queue, ReplacedError, ResultsGoneError
from taskq.maps.store import MapStore
from taskq.testing import drain
from taskq.views import backlog
from taskq_workers.cli import job_view
from tests import jobs
from tests.contract.by_hand import failures_of
from tests.waiting import HANGS

READS: dict[str, Callable[[MapStore], Any]] = {
    "spans": lambda store: store.spans(0, 10**6),
    "results": lambda store: store.results.batch(0),
    "errors by index": lambda store: store.failures_at([0]),
    "all errors": failures_of,
    "groups": lambda store: store.groups(),
    "function": lambda store: store.function(),
    "hash": lambda store: store.info(),
}


SAYS: dict[str, Callable[[MapJob], Any]] = {
    "ready": lambda job: job.ready(),
    "successful": lambda job: job.successful(),
    "wait": lambda job: job.wait(),
    "wait for a while": lambda job: job.wait(HANGS),
    "get": lambda job: job.get(),
    "get for a while": lambda job: job.get(HANGS),
    "count": lambda job: job.count(),
    "iteration": list,
    "return_value": lambda job: job.return_value(),
    "latest_result": lambda job: job.latest_result(),
    "all of RQ's results": lambda job: job.results(),
    "errors": lambda job: dict(job.errors),
    "number of errors": lambda job: len(job.errors),
    "result list": lambda job: list(job.result_list),
    "its length": lambda job: len(job.result_list),
    "one of it": lambda job: job.result_list[0],
    "some of it": lambda job: job.result_list[1:3],
    "appending to it": lambda job: job.result_list.append(1),
    "clearing it": lambda job: job.result_list.clear(),
}


@pytest.fixture
def replaced(any_queue: Queue) -> MapJob:
    """The job of a map which has ended, and whose id has another one since."""
    job = any_queue.map(jobs.square, range(4), job_id="same")
    drain(any_queue)
    any_queue.map(jobs.invert, range(6), job_id="same")
    drain(any_queue)
    return job


@pytest.mark.parametrize("what", READS)
def test_nothing_of_the_new_one_is_read_as_the_old_ones(replaced: MapJob, what: str) -> None:
    with pytest.raises(ReplacedError, match="pushed again"):
        READS[what](replaced.store)


@pytest.mark.parametrize("what", SAYS)
def test_an_old_handle_says_nothing_of_the_new_one(replaced: MapJob, what: str) -> None:
    with pytest.raises(ReplacedError, match="pushed again"):
        SAYS[what](replaced)
    new = MapJob.fetch("same", connection=replaced.connection)
    assert len(new.result_list) == 5, "item 0 of it has failed"


def test_who_iterates_hears_of_it_in_the_middle(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=1, job_id="same")
    drain(any_queue)
    values = iter(job[position] for position in range(99))
    next(values)
    job._completed._batch.clear()  # as if no more had come yet
    any_queue.map(jobs.square, range(10, 16), chunksize=1, job_id="same")
    drain(any_queue)
    with pytest.raises(ReplacedError):
        next(values)


def test_who_iterates_while_the_server_loses_what_was_read_hears_of_it(any_queue: Queue) -> None:
    """It came back as it was before the first chunk was committed, and then the other one was the first."""
    job = any_queue.map(jobs.square, range(4), chunksize=2)
    drain(any_queue)
    k, connection = job.store.keys, job.connection
    values = [job[0], job[1]]
    job._completed._batch.clear()
    for key, count in ((k.results, 2), (k.spans, 1)):
        for _ in range(count):
            connection.lmove(key, key, "LEFT", "RIGHT")
    values += [job[2], job[3]]
    assert values == [0, 1, 0, 1]
    with pytest.raises(ResultsGoneError, match="read them again"):
        job[4]
    assert sorted(job) == [0, 1, 4, 9]


def _push_again(job: MapJob) -> None:
    Queue(connection=job.connection).map(jobs.invert, range(3), job_id=job.id)


def _come_back(job: MapJob) -> None:
    """As it was before anything was committed."""
    k = job.store.keys
    job.connection.delete(k.results, k.spans, k.errors)
    job.connection.hset(k.hash, mapping={"done": 0, "failed": 0, "state": "open"})


MEANWHILE: dict[str, tuple[Callable[[MapJob], object], type[Exception], str]] = {
    "deleted": (MapJob.delete, ResultsGoneError, "deleted"),
    "pushed again": (lambda job: (job.delete(), _push_again(job)), ReplacedError, "pushed again"),
    "the server came back": (_come_back, ResultsGoneError, "read them again"),
}
GONE = ("deleted", "pushed again")


@pytest.mark.parametrize(
    ("before", "what"), [*(("at_end", what) for what in MEANWHILE), *(("each_failure", what) for what in GONE)]
)
def test_a_map_that_is_not_there_any_more_when_it_is_proved_is_not_damaged(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, what: str, before: str
) -> None:
    """Of a server that came back ``get`` does not tell: it reads anew, see test_gathering.py."""
    act, error, text = MEANWHILE[what]
    job = any_queue.map(jobs.invert if before == "each_failure" else jobs.square, range(4), chunksize=4)
    drain(any_queue)
    real = getattr(MapStore, before)

    def disturb(self: MapStore, *args: Any) -> Any:
        monkeypatch.setattr(MapStore, before, real)
        act(job)
        return real(self, *args)

    monkeypatch.setattr(MapStore, before, disturb)
    with pytest.raises(error, match=text):
        list(job) if before == "at_end" else job.get(errors="return")


def _half_deleted(job: MapJob) -> None:
    job.store.cancel()
    Job.delete(job)


IN_THE_MIDDLE: dict[str, tuple[Callable[[MapJob], object], type[Exception]]] = {
    "its job is deleted": (_half_deleted, MapCanceledError),
    "its keys are deleted": (MapJob.delete, ResultsGoneError),
    "it is pushed again": (lambda job: (job.delete(), _push_again(job)), ReplacedError),
}


@pytest.mark.parametrize("what", IN_THE_MIDDLE)
def test_who_asks_how_it_ended_while_it_is_replaced(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It has read the map's hash, and not yet RQ's status: a seed of the simulation heard that it had failed."""
    act, error = IN_THE_MIDDLE[what]
    job = any_queue.map(jobs.square, range(4))
    info = job.store.info()
    act(job)
    monkeypatch.setattr(MapJob, "status_now", lambda _self: None)
    with pytest.raises(error):
        raise job._early_end(info)


def _through_a_pipeline(act: Callable[..., object], job: MapJob) -> None:
    with job.connection.pipeline() as pipe:
        act(job, pipe)
        pipe.execute()


ACTS: dict[str, Callable[[MapJob], object]] = {
    "cancel": MapJob.cancel,
    "delete": MapJob.delete,
    "requeue": MapJob.requeue,
    "cancel through a pipeline": partial(_through_a_pipeline, MapJob.cancel),
    "delete through a pipeline": partial(_through_a_pipeline, MapJob.delete),
}


@pytest.mark.parametrize("what", ACTS)
def test_who_holds_the_old_one_does_nothing_to_the_new_one(any_queue: Queue, what: str) -> None:
    old = any_queue.map(jobs.invert, [0], job_id="same")
    drain(any_queue)
    new = any_queue.map(jobs.invert, [0, 1], job_id="same")
    if what == "requeue":
        drain(any_queue)
    before = any_queue.connection.hgetall(new.key)
    with pytest.raises(ReplacedError, match="pushed again"):
        ACTS[what](old)
    assert any_queue.connection.hgetall(new.key) == before
    if what != "requeue":
        drain(any_queue)
    assert new.get(errors="return")[1] == 1.0


@pytest.mark.parametrize("what", ["cancel", "delete", "requeue"])
def test_one_that_takes_its_place_in_the_middle_of_it_stays(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    old = any_queue.map(jobs.invert, [0], job_id="same")
    drain(any_queue)
    check = MapJob._check_meant
    news: list[MapJob] = []

    def then_push(self: MapJob, connection: Any) -> None:
        check(self, connection)
        if not news:
            news.append(any_queue.map(jobs.square, range(4), job_id="same"))

    monkeypatch.setattr(
        MapJob, "_check_meant", lambda self, there: then_push(self, there) if self is old else None
    )
    with pytest.raises(ReplacedError):
        ACTS[what](old)
    assert any_queue.job_ids == ["same"]
    drain(any_queue)
    assert news[0].get() == [0, 1, 4, 9]


@pytest.mark.parametrize("quicker", ["deletes it", "pushes"])
def test_two_producers_replace_a_map_at_the_same_time(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, quicker: str
) -> None:
    """One of them is told that the other was quicker, if it was; nothing of what that has pushed is lost."""
    any_queue.map(jobs.square, range(2), job_id="same")
    drain(any_queue)
    fetch, pushed = MapJob.fetch, []

    def fetch_slowly(*args: Any, **options: Any) -> Any:
        job = fetch(*args, **options)
        monkeypatch.setattr(MapJob, "fetch", fetch)
        if quicker == "pushes":
            pushed.append(any_queue.map(jobs.square, range(3), job_id="same"))
        else:
            fetch(*args, **options).delete()
        return job

    monkeypatch.setattr(MapJob, "fetch", fetch_slowly)
    if quicker == "pushes":
        with pytest.raises(DuplicateJobError, match="another producer"):
            any_queue.map(jobs.invert, range(1, 5), job_id="same")
    else:
        pushed.append(any_queue.map(jobs.square, range(3), job_id="same"))
    drain(any_queue)
    assert pushed[0].get() == [0, 1, 4]


@pytest.mark.parametrize("begun", [False, True], ids=["waits", "has ended"])
def test_a_plain_job_with_the_id_of_a_map_is_none_of_the_map_s(any_queue: Queue, begun: bool) -> None:
    job = any_queue.map(jobs.square, range(4), job_id="one")
    job.cancel()
    rq.Queue(any_queue.name, connection=any_queue.connection).enqueue(jobs.square, 3, job_id="one")
    if begun:
        drain(any_queue)
        assert rq.job.Job.fetch("one", any_queue.connection).get_status() == JobStatus.FINISHED
    for act in (job.cancel, job.requeue, job.delete, job.ready, job.successful, job.wait, job.return_value):
        with pytest.raises(ReplacedError):
            act()
    found = any_queue.fetch_job("one")
    assert found is not None
    assert not isinstance(found, MapJob)
    [view] = job_view.views(any_queue.connection, ["one"])
    assert view is not None
    assert view.kind == "plain"
    if not begun:
        [line] = [one for one in backlog.read_queues(any_queue.connection) if one.name == any_queue.name]
        assert not line.maps
