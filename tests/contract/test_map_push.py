"""Pushing a map: all of it, or nothing."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rq
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Callback, Dependency, Job, JobStatus, Retry  # type: ignore[attr-defined]
from rq.results import Result

from taskq import (
    DuplicateJobError,
    ItemError,
    MapCanceledError,
    MapJob,
    OptionError,
    PickleError,
    Pool,
    Queue,
    ReplacedError,
    TooLargeError,
)
from taskq.maps.body import read_header
from taskq.maps.options import MAP_RESULT_TTL
from taskq.redis.keys import MAPS, RECEIPT, WRITING_TTL
from taskq.redis.schema import SCHEMA
from taskq.testing import drain
from tests import jobs
from tests.waiting import HANGS


def left(queue: Queue) -> set[str]:
    """The keys in Redis, but for RQ's list of queues, our list of maps, and receipts."""
    found = {key.decode() for key in queue.connection.keys("*") if not key.startswith(RECEIPT.encode())}
    return found - {"rq:queues", MAPS}


def fields(queue: Queue, job: Job) -> dict[str, Any]:
    """The stored hash of the job, decoded."""
    return {name.decode(): value for name, value in queue.connection.hgetall(job.key).items()}


# -- what is written -------------------------------------------------------------------------------


def test_the_job(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(8))
    assert isinstance(job, MapJob)
    assert isinstance(job, Job)
    assert job.get_status() == JobStatus.QUEUED
    assert any_queue.job_ids == [job.id]
    assert job.description == "map square over 8 items"
    assert (job.progress.done, job.progress.total) == (0, 8)


def test_a_map_is_one_rq_job_like_any_other(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(8))
    seen = rq.Queue(any_queue.name, connection=any_queue.connection).jobs
    assert [one.id for one in seen] == [job.id]
    assert seen[0].description == job.description
    assert any_queue in rq.Queue.all(connection=any_queue.connection)


def test_all_chunks_are_pending_in_order(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(10), chunksize=3)
    keys = job.store.keys
    names = [b"0:3", b"3:3", b"6:3", b"9:1"]
    assert any_queue.connection.lrange(keys.pending, 0, -1) == names
    bodies = any_queue.connection.hgetall(keys.bodies)
    assert [str(read_header(bodies[name]).range).encode() for name in names] == names
    assert len(bodies) == 4


@pytest.mark.parametrize(
    ("target", "iterables", "expected"),
    [
        (jobs.square, lambda: [[1, 2, 3]], [1, 4, 9]),
        (jobs.square, lambda: [(n for n in range(3))], [0, 1, 4]),
        (jobs.square, lambda: [{1: "a", 2: "b"}], [1, 4]),
        (float, lambda: [np.arange(3)], [0.0, 1.0, 2.0]),
        (np.sum, lambda: [np.ones((3, 4))], [4.0, 4.0, 4.0]),
        (jobs.add, lambda: [range(3), [10, 20, 30]], [10, 21, 32]),
        (jobs.add, lambda: [range(5), [10, 20]], [10, 21]),
        (jobs.add, lambda: [[10, 20], itertools.count()], [10, 21]),
        (pow, lambda: [[2], [3], [5]], [3]),
        (len, lambda: ["abc"], [1, 1, 1]),
        ("tests.jobs.square", lambda: [[4]], [16]),
        (lambda n: n + 1, lambda: [[1, 2]], [2, 3]),
    ],
)
def test_what_can_be_mapped(
    any_queue: Queue, target: Any, iterables: Callable[[], list[Any]], expected: list[Any]
) -> None:
    job = any_queue.map(target, *iterables())
    drain(any_queue)
    assert job.get(timeout=HANGS) == expected


def test_starmap(any_queue: Queue) -> None:
    job = any_queue.starmap(jobs.add, [(1, 2), [3, 4], "56"])
    drain(any_queue)
    assert job.get(timeout=HANGS) == [3, 7, "56"]


def test_starmap_of_items_that_are_no_tuples(any_queue: Queue) -> None:
    job = any_queue.starmap(jobs.add, [(1, 2), 5])
    drain(any_queue)
    with pytest.raises(TypeError):
        job.get(timeout=HANGS)


def test_a_synchronous_queue_runs_the_map_at_once(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, is_async=False)
    job = queue.map(jobs.square, range(5), chunksize=2)
    assert job.get(timeout=HANGS) == [0, 1, 4, 9, 16]


# -- empty -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items", [[], range(0), iter(()), np.array([]), {}], ids=lambda items: type(items).__name__
)
def test_an_empty_map_has_ended_at_once(any_queue: Queue, items: Any) -> None:
    job = any_queue.map(jobs.square, items)
    assert job.ready()
    assert job.successful()
    assert job.get(timeout=0) == []
    assert list(job) == []
    assert len(job.result_list) == 0
    assert job.return_value() == {"items": 0, "done": 0, "failed": 0, "seconds": 0.0}
    assert job.is_finished
    assert any_queue.job_ids == []
    assert any_queue.finished_job_registry.get_job_ids() == [job.id]
    assert all(0 < any_queue.connection.ttl(key) <= MAP_RESULT_TTL for key in left(any_queue) if "taskq:{" in key)


def test_an_empty_map_with_a_callback_is_run(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [], on_success=Callback(jobs.remember))
    assert not job.ready()
    drain(any_queue)
    assert job.get(timeout=HANGS) == []
    assert any_queue.connection.get(f"test:callback:{job.id}")


def test_an_empty_map_waits_for_what_it_depends_on(any_queue: Queue) -> None:
    first = any_queue.enqueue(jobs.square, 3)
    job = any_queue.map(jobs.square, [], depends_on=first)
    assert job.get_status() == JobStatus.DEFERRED
    drain(any_queue)
    assert job.get(timeout=HANGS) == []


def test_an_empty_map_that_is_not_unique(any_queue: Queue) -> None:
    any_queue.enqueue(jobs.square, 3, job_id="mine")
    with pytest.raises(DuplicateJobError):
        any_queue.map(jobs.square, [], job_id="mine", unique=True)
    assert any_queue.fetch_job("mine").func_name == "tests.jobs.square"


def test_an_empty_map_with_no_time_to_live_leaves_nothing(any_queue: Queue) -> None:
    any_queue.map(jobs.square, [], result_ttl=0)
    assert left(any_queue) == set()


# -- nothing is left of what can't be done ---------------------------------------------------------


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, but not pytest's."""


def raising(error: BaseException, after: int) -> Iterator[bytes]:
    for _ in range(after):
        yield b"x" * 50_000
    raise error


def locked() -> Callable[[int], Any]:
    lock = threading.Lock()
    return lambda n: (lock, n)


SQUARE: Any = jobs.square
BAD: list[tuple[str, type[BaseException], Callable[[Queue], Any]]] = [
    ("unpicklable first item", PickleError, lambda q: q.map(SQUARE, [threading.Lock()])),
    ("unpicklable late item", PickleError, lambda q: q.map(SQUARE, [b"x" * 500_000] * 9 + [threading.Lock()])),
    ("unpicklable in generator", PickleError, lambda q: q.map(SQUARE, (threading.Lock() for _ in "ab"))),
    ("lambda with a lock", PickleError, lambda q: q.map(locked(), [1])),
    ("late oversized item", TooLargeError, lambda q: q.map(SQUARE, [b"x" * n for n in range(0, 10**6, 9**5)])),
    ("not iterable", OptionError, lambda q: q.map(SQUARE, 8)),
    ("second not iterable", OptionError, lambda q: q.map(SQUARE, [1], 8)),
    ("array of one number", OptionError, lambda q: q.map(SQUARE, np.array(8))),
    ("no iterable", OptionError, lambda q: q.map(SQUARE)),
    ("starmap of a number", OptionError, lambda q: q.starmap(SQUARE, 8)),
    ("not a function", OptionError, lambda q: q.map(None, [1])),
    ("not a path", OptionError, lambda q: q.map("square", [1])),
    ("unknown option", OptionError, lambda q: q.map(SQUARE, [1], n=2)),
    ("misspelled option", OptionError, lambda q: q.map(SQUARE, [1], chunk_size=2)),
    ("chunksize 0", OptionError, lambda q: q.map(SQUARE, [1], chunksize=0)),
    ("chunksize -1", OptionError, lambda q: q.map(SQUARE, [1], chunksize=-1)),
    ("chunksize 1.5", OptionError, lambda q: q.map(SQUARE, [1], chunksize=1.5)),
    ("chunksize True", OptionError, lambda q: q.map(SQUARE, [1], chunksize=True)),
    ("starmap chunksize 0", OptionError, lambda q: q.starmap(SQUARE, [(1,)], chunksize=0)),
    ("bad job id", OptionError, lambda q: q.map(SQUARE, [1], job_id="a b")),
    ("braces in job id", OptionError, lambda q: q.map(SQUARE, [1], job_id="{a}")),
    ("job id a number", OptionError, lambda q: q.map(SQUARE, [1], job_id=7)),
    ("retry a number", OptionError, lambda q: q.map(SQUARE, [1], retry=3)),
    ("unique without id", OptionError, lambda q: q.map(SQUARE, [1], unique=True)),
    *((f"{name} for ever and ever", OptionError, lambda q, name=name: q.map(SQUARE, [1], **{name: 2**53}))
      for name in ("ttl", "result_ttl", "failure_ttl", "job_timeout")),
    ("timeout 0", OptionError, lambda q: q.map(SQUARE, [1], job_timeout=0)),
    ("timeout -7", OptionError, lambda q: q.map(SQUARE, [1], job_timeout=-7)),
    ("timeout a word", OptionError, lambda q: q.map(SQUARE, [1], job_timeout="soon")),
    ("timeout infinite", OptionError, lambda q: q.map(SQUARE, [1], job_timeout=float("inf"))),
    ("timeout not a number", OptionError, lambda q: q.map(SQUARE, [1], job_timeout=float("nan"))),
    *((f"{name} {value!r}", OptionError, lambda q, name=name, value=value: q.map(SQUARE, [1], **{name: value}))
      for name, values in {
          "item_timeout": (1e10, 1e300, float("inf"), float("nan"), True, "3", 0, -1, [1]),
          "weight": ("2", True, None, 0, float("nan"), 1e4), "at_front": ("x", 1, None),
          "result_ttl": (-2, True), "failure_ttl": (-2, True), "ttl": (True,), "job_timeout": (True,),
      }.items() for value in values),
    ("timeout a list", OptionError, lambda q: q.map(SQUARE, [1], job_timeout=[1])),
    ("result_ttl a word", OptionError, lambda q: q.map(SQUARE, [1], result_ttl="soon")),
    ("failure_ttl a word", OptionError, lambda q: q.map(SQUARE, [1], failure_ttl="soon")),
    ("ttl 0", OptionError, lambda q: q.map(SQUARE, [1], ttl=0)),
    ("ttl negative", OptionError, lambda q: q.map(SQUARE, [1], ttl=-1)),
    ("retry a number", OptionError, lambda q: q.map(SQUARE, [1], retry=3)),
    ("depends_on a number", OptionError, lambda q: q.map(SQUARE, [1], depends_on=3)),
    ("webhooks a number", OptionError, lambda q: q.map(SQUARE, [1], webhooks=3)),
    ("unpicklable meta", PickleError, lambda q: q.map(SQUARE, [1], meta={"lock": threading.Lock()})),
    ("meta a text", OptionError, lambda q: q.map(SQUARE, [1], meta="x")),
    ("initargs a number", OptionError, lambda q: q.map(SQUARE, [1], initializer=SQUARE, initargs=3)),
    ("chunksize a class", OptionError, lambda q: q.map(SQUARE, [1], chunksize=int)),
    ("description no text", OptionError, lambda q: q.map(SQUARE, [1], description="\ud800")),
    ("imap with meta a text", OptionError, lambda q: q.imap(SQUARE, [1], meta="x")),
    ("pool with patience a text", OptionError, lambda q: Pool(queue=q, patience="1")),
    ("queue with patience a text", OptionError, lambda _: Queue(patience="1")),
    ("queue with a number as URL", OptionError, lambda _: Queue(url=3)),
    ("generator that raises", LookupError, lambda q: q.map(SQUARE, raising(LookupError(), 0))),
    ("generator that raises midway", LookupError, lambda q: q.map(SQUARE, raising(LookupError(), 99))),
    ("Ctrl-C midway", Interrupted, lambda q: q.map(SQUARE, raising(Interrupted(), 99))),
    ("exit midway", SystemExit, lambda q: q.map(SQUARE, raising(SystemExit(), 99), chunksize=1)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "kind", "push"), BAD, ids=[case[0] for case in BAD])
def test_nothing_is_left_in_redis(
    any_queue: Queue, what: str, kind: type[BaseException], push: Callable[[Queue], Any]
) -> None:
    any_queue.payload_limit = 900_000
    with pytest.raises(kind):
        push(any_queue)
    assert left(any_queue) == set()


def test_nothing_is_left_if_the_queue_cannot_take_the_job(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(rq.Queue, "_enqueue_job", refuse)
    with pytest.raises(OSError, match="full"):
        any_queue.map(jobs.square, range(5))
    assert left(any_queue) == set()


def test_the_index_of_a_bad_item_is_named(any_queue: Queue) -> None:
    with pytest.raises(PickleError, match=r"^item 5 \(lock\)"):
        any_queue.map(jobs.square, [*range(5), threading.Lock(), 7])


def test_unknown_options_are_answered_with_those_there_are(any_queue: Queue) -> None:
    with pytest.raises(
        OptionError, match=r"unknown option chunk_size, x. Did you mean chunksize\? .*job_timeout.*partial"
    ):
        any_queue.map(jobs.square, [1], chunk_size=1, x=2)


def test_a_number_is_no_retry(any_queue: Queue) -> None:
    with pytest.raises(OptionError, match=r"such as rq.Retry\(max=3\), not 3"):
        any_queue.map(jobs.square, [1], retry=3)


@pytest.mark.parametrize("position", [slice(2, 4), "1", -1, None])
def test_results_are_counted_one_by_one(any_queue: Queue, position: Any) -> None:
    with pytest.raises(OptionError, match=r"counted from 0.*job.result_list\["):
        any_queue.map(jobs.square, range(4))[position]


# -- ids -------------------------------------------------------------------------------------------


def test_a_second_map_with_the_same_id(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3), job_id="mine")
    before = {key: any_queue.connection.dump(key) for key in left(any_queue)}
    with pytest.raises(DuplicateJobError, match="'mine' exists and is queued"):
        any_queue.map(jobs.square, range(5), job_id="mine")
    assert {key: any_queue.connection.dump(key) for key in left(any_queue)} == before
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4]


def test_a_second_map_while_the_first_is_written(any_queue: Queue) -> None:
    def items() -> Iterator[int]:
        yield 1
        with pytest.raises(DuplicateJobError, match="being written"):
            any_queue.map(jobs.square, [1], job_id="mine")
        yield 2

    job = any_queue.map(jobs.square, items(), job_id="mine")
    assert job.store.info().total == 2


def test_a_map_that_has_ended_is_replaced(any_queue: Queue) -> None:
    any_queue.map(jobs.invert, [1, 0, 2], job_id="mine", chunksize=1)
    drain(any_queue)
    job = any_queue.map(jobs.square, [5], job_id="mine")
    assert any_queue.failed_job_registry.get_job_ids() == []
    assert job.errors == {}
    drain(any_queue)
    assert job.get(timeout=HANGS) == [25]
    assert list(job.result_list) == [25]


def test_a_cancelled_map_is_replaced(any_queue: Queue) -> None:
    any_queue.map(jobs.square, [1, 2], job_id="mine").cancel()
    job = any_queue.map(jobs.square, [5], job_id="mine")
    drain(any_queue)
    assert job.get(timeout=HANGS) == [25]


def test_who_waits_for_a_map_that_is_replaced_waits_for_the_other(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(3), job_id="mine")
    waiting = any_queue.enqueue(jobs.square, 5, depends_on=first)
    first.cancel()
    any_queue.map(jobs.square, range(4), job_id="mine")
    assert waiting.get_status() == JobStatus.DEFERRED
    drain(any_queue)
    assert (waiting.get_status(), waiting.return_value()) == (JobStatus.FINISHED, 25)


def test_an_id_is_free_after_the_job_was_deleted_by_an_rq_tool(any_queue: Queue) -> None:
    """RQ's own delete knows nothing of our keys; they must not block the id for ever."""
    any_queue.map(jobs.square, [1, 2], job_id="mine")
    Job.fetch("mine", connection=any_queue.connection, serializer=any_queue.serializer).delete()
    job = any_queue.map(jobs.square, [5], job_id="mine")
    drain(any_queue)
    assert job.get(timeout=HANGS) == [25]


def test_unique_against_a_plain_job(any_queue: Queue) -> None:
    plain = any_queue.enqueue(jobs.square, 2, job_id="mine")
    with pytest.raises(DuplicateJobError):
        any_queue.map(jobs.square, [1], job_id="mine", unique=True)
    assert not [key for key in left(any_queue) if key.startswith("taskq:")]
    drain(any_queue)
    assert plain.return_value() == 4


def test_unique_while_there_is_none(any_queue: Queue) -> None:
    assert any_queue.map(jobs.square, [1], job_id="mine", unique=True).id == "mine"


# -- options ---------------------------------------------------------------------------------------

STORED: list[dict[str, Any]] = [
    {"job_timeout": 77},
    {"job_timeout": "2h"},
    {"job_timeout": -1},
    {"result_ttl": 77},
    {"result_ttl": "1d"},
    {"result_ttl": -1},
    {"result_ttl": 0},
    {"failure_ttl": 77},
    {"ttl": 77},
    {"ttl": "1h"},
    {"retry": Retry(max=2)},
    {"retry": Retry(max=3, interval=[1, 2, 3])},
    {"retry": Retry(max=1, enqueue_at_front=True)},
    {"meta": {"who": "me", "n": [1]}},
    {"description": "my own words"},
    {"on_success": Callback(jobs.remember)},
    {"on_failure": Callback("tests.jobs.remember", timeout=9)},
    {"on_stopped": Callback(jobs.remember, timeout="1m")},
    {"job_id": "my-id_1"},
    {"job_id": "my-id", "unique": True},
]
OURS = {"data", "created_at", "enqueued_at", "taskq"}


@pytest.mark.parametrize("options", STORED, ids=lambda options: ",".join(options) or "none")
def test_options_are_stored_as_rq_stores_them(any_queue: Queue, options: dict[str, Any]) -> None:
    defaults = {"job_timeout": -1, "result_ttl": MAP_RESULT_TTL, "failure_ttl": DEFAULT_FAILURE_TTL}
    both = {**defaults, "description": "x", "job_id": "same", **options}
    plain = any_queue.enqueue(jobs.square, 1, **both)
    expected, ttl = fields(any_queue, plain), any_queue.connection.ttl(plain.key)
    plain.delete()
    job = any_queue.map(jobs.square, [1], **{"description": "x", "job_id": "same", **options})
    stored = fields(any_queue, job)
    assert {name: value for name, value in stored.items() if name not in OURS} == {
        name: value for name, value in expected.items() if name not in OURS
    }
    assert any_queue.connection.ttl(job.key) in (ttl, ttl - 1)


def test_the_mark_that_tells_a_map(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [1])
    mark = fields(any_queue, job)["taskq"].decode()
    assert mark == f"map {job.incarnation} {SCHEMA} {fields(any_queue, job)['created_at'].decode()}"
    assert re.fullmatch("map [0-9a-f]{32} [0-9]+ [0-9TZ:.-]+", mark)
    assert job.store.info().incarnation == job.incarnation
    assert any_queue.fetch_job(job.id).incarnation == job.incarnation


def test_each_push_is_another_incarnation(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, [1], job_id="mine")
    first.cancel()
    second = any_queue.map(jobs.square, [1], job_id="mine")
    assert first.incarnation != second.incarnation
    with pytest.raises(ReplacedError):
        first.get(timeout=HANGS)


def test_at_front(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, [1])
    second = any_queue.map(jobs.square, [1], at_front=True)
    assert any_queue.job_ids == [second.id, first.id]


def test_the_keys_outlive_a_job_with_a_ttl(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, [1], ttl=100)
    assert 0 < any_queue.connection.ttl(job.key) <= 100
    assert all(
        100 <= any_queue.connection.ttl(key) <= 100 + WRITING_TTL for key in any_queue.connection.keys("taskq:{*")
    )


@pytest.mark.parametrize("wrap", [lambda job: job, lambda job: job.id, lambda job: [job], Dependency])
def test_depends_on_a_plain_job(any_queue: Queue, wrap: Callable[[Job], Any]) -> None:
    first = any_queue.enqueue(jobs.square, 2)
    job = any_queue.map(jobs.square, range(3), depends_on=wrap(first))
    assert job.get_status() == JobStatus.DEFERRED
    assert any_queue.job_ids == [first.id]
    assert any_queue.deferred_job_registry.get_job_ids() == [job.id]
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4]


def test_depends_on_a_job_that_has_finished(any_queue: Queue) -> None:
    first = any_queue.enqueue(jobs.square, 2)
    drain(any_queue)
    job = any_queue.map(jobs.square, range(3), depends_on=first)
    assert any_queue.job_ids == [job.id]
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4]


def test_a_map_and_a_list_of_both(any_queue: Queue) -> None:
    first, second = any_queue.enqueue(jobs.square, 2), any_queue.map(jobs.square, [1])
    job = any_queue.map(jobs.square, [3], depends_on=[first, second])
    drain(any_queue)
    assert job.get(timeout=HANGS) == [9]


def test_a_deferred_map_can_be_cancelled(any_queue: Queue) -> None:
    first = any_queue.enqueue(jobs.square, 2)
    job = any_queue.map(jobs.square, range(3), depends_on=first)
    job.cancel()
    drain(any_queue)
    with pytest.raises(MapCanceledError):
        job.get(timeout=HANGS)


# -- limits ----------------------------------------------------------------------------------------


def test_the_queues_limit_holds_for_items(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, payload_limit=1000)
    with pytest.raises(TooLargeError, match=r"item 3 is .*limit of 1,000 bytes"):
        queue.map(len, [b"", b"", b"", bytes(2000)])
    assert left(any_queue) == set()


def test_a_small_limit_only_makes_small_chunks(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, payload_limit=1000)
    job = queue.map(len, [bytes([n % 256]) * 400 for n in range(500)])
    drain(queue)
    assert job.get(timeout=HANGS) == [400] * 500


def test_the_queues_limit_holds_for_results(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, payload_limit=1000)
    job = queue.map(jobs.big, [1, 2000, 3])
    drain(queue)
    assert job.errors[1].type == "TooLargeError"
    assert job.get(timeout=HANGS, errors="return")[0] == b"\0"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_must_be_positive(any_queue: Queue, limit: int) -> None:
    with pytest.raises(OptionError):
        Queue(connection=any_queue.connection, payload_limit=limit)


def test_an_item_error_stands_for_what_cannot_travel(any_queue: Queue) -> None:
    job = any_queue.map(jobs.stubborn, [1])
    drain(any_queue)
    with pytest.raises(ItemError, match="Stubborn: 1 and 1"):
        job.get(timeout=HANGS)


@pytest.mark.parametrize("items", [[], [1, 2]])
def test_a_map_begins_without_the_results_of_what_had_its_id(any_queue: Queue, items: list[int]) -> None:
    """Whoever deleted that was interrupted, or the server has lost the deletion of a part."""
    old = Job.create(jobs.square, id="one", connection=any_queue.connection)
    Result.create(old, Result.Type.SUCCESSFUL, 100, return_value=9)
    job = any_queue.map(jobs.square, items, job_id="one")
    assert [result.return_value for result in job.results()] == ([] if items else [job.return_value()])
