"""Plain RQ jobs, with functions of any kind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import rq
from redis.client import Pipeline
from rq.job import Job, JobStatus
from rq.scheduler import RQScheduler

from taskq import OptionError, PickleError, Queue
from taskq.testing import drain
from tests import jobs
from tests.unit import source

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, n: int) -> int:
        return self.factor * n

    def __call__(self, n: int) -> int:
        return self.times(n)


def closure(offset: int) -> Any:
    def add(n: int) -> int:
        return n + offset

    return add


FUNCTIONS: list[tuple[str, Any, Any]] = [
    ("importable", jobs.square, 9),
    ("path", "tests.jobs.square", 9),
    ("lambda", lambda n: n + 1, 4),
    ("closure", closure(5), 8),
    ("shell", source.in_main("def compute(n): return n * 7", "compute"), 21),
    ("partial", partial(jobs.add, 4), 7),
    ("partial of a lambda", partial(lambda a, b: a - b, 1), -2),
    ("method", Scale(2).times, 6),
    ("instance", Scale(3), 9),
    ("builtin", abs, 3),
]


def stock(queue: Queue) -> None:
    """RQ's own worker, with RQ's own serializer."""
    rq.SimpleWorker([queue.name], connection=queue.connection).work(burst=True, logging_level="ERROR")


def enqueue_scheduled(queue: Queue) -> None:
    """What RQ's scheduler does when a job's time has come."""
    scheduler = RQScheduler([queue.name], connection=queue.connection)
    assert scheduler.acquire_locks() == {queue.name}
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()


WAYS: dict[str, Callable[[Queue, Any], Job]] = {
    "enqueue": lambda q, f: q.enqueue(f, 3),
    "enqueue args": lambda q, f: q.enqueue(f, args=(3,)),
    "enqueue_call": lambda q, f: q.enqueue_call(f, args=(3,)),
    "enqueue_many": lambda q, f: q.enqueue_many([Queue.prepare_data(f, (3,))])[0],
    "enqueue_at": lambda q, f: q.enqueue_at(LONG_AGO, f, 3),
    "enqueue_in": lambda q, f: q.enqueue_in(timedelta(seconds=-5), f, 3),
    "create_job": lambda q, f: q.enqueue_job(q.create_job(f, args=(3,))),
}  # fmt: skip


@pytest.mark.parametrize(("what", "function", "result"), FUNCTIONS, ids=[case[0] for case in FUNCTIONS])
@pytest.mark.parametrize("way", WAYS)
def test_functions_run(any_queue: Queue, way: str, what: str, function: Any, result: Any) -> None:
    job = WAYS[way](any_queue, function)
    if way in ("enqueue_at", "enqueue_in"):
        assert job.get_status() == JobStatus.SCHEDULED
        enqueue_scheduled(any_queue)
    drain(any_queue)
    assert job.get_status() == JobStatus.FINISHED
    assert job.return_value() == result


@pytest.mark.parametrize(("what", "function", "result"), FUNCTIONS, ids=[case[0] for case in FUNCTIONS])
def test_a_stock_worker_runs_them(any_queue: Queue, what: str, function: Any, result: Any) -> None:
    job = any_queue.enqueue(function, 3)
    stock(any_queue)
    assert job.return_value() == result


def test_keyword_arguments_reach_the_function(any_queue: Queue) -> None:
    job = any_queue.enqueue(lambda a, *, b: (a, b), 1, b=2)
    drain(any_queue)
    assert job.return_value() == (1, 2)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("enqueue_at", "enqueue_in")])
def test_importable_functions_are_stored_as_rq_stores_them(any_queue: Queue, way: str) -> None:
    job = WAYS[way](any_queue, jobs.square)
    plain = rq.Queue("plain", connection=any_queue.connection).enqueue(jobs.square, 3)
    assert job.func_name == plain.func_name == "tests.jobs.square"
    assert job.description == plain.description == "tests.jobs.square(3)"
    ours, rqs = (any_queue.connection.hgetall(one.key) for one in (job, plain))
    assert set(ours) == set(rqs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("function", "description"),
    [(closure(5), "closure.add(...)"), (lambda n: n, "<lambda>(...)"), (FUNCTIONS[4][1], "compute(...)")],
)
def test_a_description_names_the_function(any_queue: Queue, way: str, function: Any, description: str) -> None:
    assert WAYS[way](any_queue, function).description == description


@pytest.mark.parametrize(
    ("given", "begin"), [(None, b"\x80\x05"), ("json", b"["), (rq.serializers.JSONSerializer, b"[")]
)
def test_a_job_has_its_queues_serializer(any_queue: Queue, given: Any, begin: bytes) -> None:
    queue = Queue("other", connection=any_queue.connection, serializer=given)
    job = queue.enqueue(jobs.square, 3)
    assert job.serializer is queue.serializer
    assert job.data.startswith(begin)
    assert queue.jobs[0].args in ((3,), [3])


class Seen:
    """An argument that notes whether Python's garbage collector is at work while it is pickled."""

    def __init__(self, noted: list[bool]) -> None:
        self.noted = noted

    def __reduce__(self) -> Any:
        self.noted.append(gc.isenabled())
        return int, (3,)


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_the_garbage_collector_rests_while_many_are_made(
    any_queue: Queue,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    collects: bool,
    given: bool,
) -> None:
    request.addfinalizer(gc.enable)
    made: list[bool] = []
    asked: list[bool] = []
    sent: list[bool] = []
    execute = Pipeline.execute

    def noting(pipe: Pipeline, *args: Any, **options: Any) -> Any:
        sent.append(gc.isenabled())
        return execute(pipe, *args, **options)

    def datas(function: Any) -> Iterator[Any]:
        asked.append(gc.isenabled())
        yield any_queue.prepare_data(function, (Seen(made),))

    (gc.enable if collects else gc.disable)()
    monkeypatch.setattr(Pipeline, "execute", noting)
    pipe = any_queue.connection.pipeline()
    any_queue.enqueue_many(datas(jobs.square), pipe if given else None)
    pipe.execute()
    with pytest.raises(PickleError):
        any_queue.enqueue_many(datas(locked()))
    assert (set(made), set(asked), set(sent)) == ({False}, {collects}, {collects})
    assert (gc.isenabled(), len(any_queue)) == (collects, 1)


def test_jobs_that_run_at_once_have_a_garbage_collector(any_queue: Queue) -> None:
    here = Queue("here", connection=any_queue.connection, is_async=False)
    [job] = here.enqueue_many([here.prepare_data(gc.isenabled)])
    assert job.return_value() is True


class EarlyJob(Job):
    """Reads its arguments' bytes while it is made."""

    @classmethod
    def create(cls, *args: Any, **options: Any) -> Any:
        job = super().create(*args, **options)
        assert job.data.startswith(b"[")
        return job


def test_a_job_class_of_ones_own_has_it_from_the_start(any_queue: Queue) -> None:
    queue = Queue("other", connection=any_queue.connection, serializer="json", job_class=EarlyJob)
    assert type(queue.enqueue(jobs.square, 3)) is EarlyJob


def test_a_description_of_ones_own(any_queue: Queue) -> None:
    assert any_queue.enqueue(lambda: 1, description="mine").description == "mine"


def test_results_of_any_kind(any_queue: Queue) -> None:
    job = any_queue.enqueue(lambda: {"a": [1, (2,)]})
    drain(any_queue)
    assert job.return_value() == {"a": [1, (2,)]}


def test_a_job_that_fails(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.invert, 0)
    drain(any_queue)
    assert job.is_failed
    latest = job.latest_result()
    assert latest is not None
    assert "ZeroDivisionError" in latest.exc_string


def locked() -> Callable[[int], Any]:
    lock = threading.Lock()
    return lambda n: (lock, n)


@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_cannot_be_pickled_leaves_nothing(any_queue: Queue, way: str) -> None:
    with pytest.raises(PickleError, match=r"the function .* can't be pickled"):
        WAYS[way](any_queue, locked())
    assert any_queue.connection.keys("*") == []


@pytest.mark.parametrize(
    "push",
    [
        lambda q, bad: q.enqueue(jobs.square, bad),
        lambda q, bad: q.enqueue(jobs.square, kwargs={"n": bad}),
        lambda q, bad: q.enqueue_call(jobs.square, (bad,)),
        lambda q, bad: q.enqueue_at(LONG_AGO, jobs.square, bad),
        lambda q, bad: q.enqueue_in(timedelta(seconds=5), jobs.square, bad),
        lambda q, bad: q.enqueue_many(
            [Queue.prepare_data(jobs.square, (1,)), Queue.prepare_data(jobs.square, (bad,))]
        ),
        lambda q, bad: q.enqueue(jobs.square, 1, meta={"bad": bad}),
    ],
    ids=["enqueue", "kwargs", "enqueue_call", "enqueue_at", "enqueue_in", "enqueue_many", "meta"],
)
def test_an_argument_that_cannot_be_pickled_leaves_nothing(
    any_queue: Queue, push: Callable[[Queue, Any], Any]
) -> None:
    with pytest.raises(PickleError, match="can't be pickled"):
        push(any_queue, threading.Lock())
    assert set(any_queue.connection.keys("*")) <= {b"rq:queues"}


@pytest.mark.parametrize("job_id", ["a b", "{x}", "ä", ""])
def test_a_bad_job_id(any_queue: Queue, job_id: str) -> None:
    with pytest.raises(OptionError, match="Job ID"):
        any_queue.enqueue(jobs.square, 1, job_id=job_id)
    assert any_queue.connection.keys("*") == []


def test_a_job_as_a_dependency_of_functions_by_value(any_queue: Queue) -> None:
    first = any_queue.enqueue(lambda: 1)
    second = any_queue.enqueue(lambda: 2, depends_on=first)
    drain(any_queue)
    assert (first.return_value(), second.return_value()) == (1, 2)


def test_at_front_and_unique(any_queue: Queue) -> None:
    first = any_queue.enqueue(jobs.square, 1)
    second = any_queue.enqueue(jobs.square, 2, at_front=True, job_id="u", unique=True)
    assert any_queue.job_ids == [second.id, first.id]
    with pytest.raises(rq.exceptions.DuplicateJobError):
        any_queue.enqueue(jobs.square, 2, job_id="u", unique=True)


def test_a_pipeline_of_ones_own(any_queue: Queue) -> None:
    with any_queue.connection.pipeline() as pipe:
        job = any_queue.enqueue(lambda n: n + 1, 1, pipeline=pipe)
        assert any_queue.job_ids == []
        pipe.execute()
    drain(any_queue)
    assert job.return_value() == 2


def test_a_synchronous_queue(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, is_async=False)
    assert queue.enqueue(lambda n: n + 1, 1).return_value() == 2


@pytest.mark.parametrize("name", ["", "a b", "a{b}", "a\n", 7])
def test_bad_queue_names(any_queue: Queue, name: Any) -> None:
    with pytest.raises(OptionError, match="a queue's name"):
        Queue(name, connection=any_queue.connection)


@pytest.mark.parametrize("options", [{"retry": 3}, {"repeat": 3}, {"rate_limit": 3}], ids=str)
def test_a_number_is_no_object_of_rqs(any_queue: Queue, options: dict[str, Any]) -> None:
    [(name, _)] = options.items()
    ways: list[Callable[[], Any]] = [
        lambda: any_queue.enqueue(jobs.square, 1, **options),
        lambda: any_queue.enqueue_in(timedelta(1), jobs.square, 1, **options),
        lambda: any_queue.enqueue_call(jobs.square, (1,), **options),
    ]
    for way in ways:
        with pytest.raises(OptionError, match=rf"{name} must be RQ's \w+, such as rq.\w+\(.*\), not 3"):
            way()
    assert any_queue.connection.keys("rq:job:*") == []
    assert any_queue.connection.keys("rq:rl*") == []


def test_both_forms_of_a_path(any_queue: Queue) -> None:
    first, second = any_queue.enqueue("tests.jobs:square", 3), any_queue.enqueue("tests.jobs.square", 4)
    assert [first.func_name, second.func_name] == ["tests.jobs.square"] * 2
    drain(any_queue)
    assert [first.return_value(refresh=True), second.return_value(refresh=True)] == [9, 16]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("patince", "did you mean patience"),
        ("conection", "did you mean connection"),
        ("x", "has no option x$"),
    ],
)
def test_a_queue_has_no_other_options(fake_queue: Queue, option: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Queue(connection=fake_queue.connection, **{option: 3})


@pytest.mark.parametrize("option", ["on_success", "on_failure", "on_stopped"])
@pytest.mark.parametrize("push", [Queue.enqueue, lambda q, f, n, **options: q.map(f, [n], **options)])
def test_a_callback_that_no_worker_finds_is_refused(
    any_queue: Queue, option: str, push: Callable[..., Any]
) -> None:
    for callback in (lambda *_: None, closure(3)):
        with pytest.raises(OptionError, match=rf"{option}: callbacks are sent by name, .*within another function"):
            push(any_queue, jobs.square, 3, **{option: rq.Callback(callback)})
    assert any_queue.connection.keys("rq:job:*") + any_queue.connection.keys("taskq:*") == []


def test_nor_is_one_of_a_script(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.square, "__module__", "__main__")
    with pytest.raises(OptionError, match="no worker finds square, for it is of __main__"):
        any_queue.enqueue(jobs.invert, 3, on_success=rq.Callback(jobs.square))
