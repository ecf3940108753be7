"""With a secret key: what is signed is read as ever; what is forged, or moved elsewhere, is not unpickled."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Callback
from rq.exceptions import DeserializationError
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer

import taskq
from taskq import DamagedError, MapJob, Queue, SignatureError
from taskq.payload import codec, signing
from taskq.queue import fetch
from taskq.redis import connection, keys, refusals
from taskq.redis.keys import MapField
from taskq.testing import drain
from tests import jobs
from tests.secret import KEY

pytestmark = pytest.mark.usefixtures("secret_key")


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def queue(signed_queue: Queue) -> Queue:
    return signed_queue


@pytest.fixture
def crater(tmp_path: Path) -> Iterator[Path]:
    """What a bomb leaves; it must not be there at the end."""
    path = tmp_path / "crater"
    yield path
    assert not path.exists(), "what was forged has been unpickled"


@pytest.fixture
def bomb(crater: Path) -> bytes:
    return pickle.dumps(Bomb(crater), 5)


def run(queue: Queue, *args: Any, **options: Any) -> MapJob:
    job = queue.map(*args, **options)
    drain(queue)
    return job


def why(job: Job) -> str:
    latest = job.latest_result()
    assert latest is not None
    return latest.exc_string or ""


# -- everything works with a key --------------------------------------------------------------------------


def test_maps(queue: Queue) -> None:
    assert run(queue, jobs.square, range(20), chunksize=3).get() == [n * n for n in range(20)]
    assert run(queue, lambda n: -n, [1, 2]).get() == [-1, -2]
    assert queue.starmap(jobs.add, [(1, 2)]).id in queue.job_ids
    job = run(queue, jobs.invert, [1, 0, 2], meta={"a": 1}, chunksize=2)
    assert isinstance(job.get(errors="return")[1], ZeroDivisionError)
    fetched = queue.fetch_job(job.id)
    assert (fetched.meta, list(fetched.errors)) == ({"a": 1}, [1])
    assert sorted(fetched.result_list) == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        list(fetched)


def test_plain_jobs(queue: Queue) -> None:
    first = queue.enqueue(jobs.square, 3, meta={"a": 1}, on_success=Callback(jobs.remember))
    second = queue.enqueue(jobs.note_in_meta, 1, depends_on=first)
    by_value = queue.enqueue(lambda: "value")
    (many,) = queue.enqueue_many([Queue.prepare_data(jobs.square, (4,))])
    drain(queue)
    assert [job.return_value() for job in (first, second, by_value, many)] == [9, 1, "value", 16]
    assert queue.connection.get(f"test:callback:{first.id}") == b"9"
    assert queue.fetch_job(first.id).meta == {"a": 1}
    assert list(queue.fetch_job(second.id).get_meta()) == ["process of 1"]
    assert [result.return_value for result in queue.fetch_job(first.id).results()] == [9]
    assert queue.finished_job_registry.get_job_count() == 4


def test_lists(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: queue.connection)  # the job's, in this very process
    squares = queue.result_list("squares")
    squares.extend([1, 4])
    squares.append(9)
    queue.enqueue(jobs.append_to, squares, 16)
    drain(queue)
    assert (list(squares), squares[-1], squares[1:3]) == ([1, 4, 9, 16], 16, [4, 9])


def test_other_serializers(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, serializer=JSONSerializer)
    job = queue.enqueue(jobs.square, 3)
    drain(queue)
    assert job.return_value() == 9
    assert job.data.startswith(signing.MAGIC)


def test_custom_job_classes(any_queue: Queue) -> None:
    class Mine(Job):
        mine = True

    queue = Queue(connection=any_queue.connection, job_class=Mine)
    job = queue.enqueue(jobs.square, 3)
    drain(queue)
    assert isinstance(job, Mine)
    assert (job.mine, job.return_value(), job.data[:4]) == (True, 9, signing.MAGIC)


def test_a_retried_job_and_map(queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    job = run(queue, jobs.fail_until, [str(flag)] * 2, [1, 2], chunksize=2)
    assert job.is_failed
    flag.unlink()
    queue.fetch_job(job.id).requeue()
    drain(queue)
    assert job.get() == [1, 2]


def test_everything_that_is_pickled_is_signed(queue: Queue) -> None:
    job = queue.map(jobs.invert, [1, 0], meta={"a": 1}, chunksize=2)
    plain = queue.enqueue(jobs.square, 3, meta={"a": 1})
    body = queue.connection.hget(job.store.keys.bodies, "0:2")
    assert body.partition(b"\n")[2].startswith(signing.MAGIC)
    drain(queue)
    queue.result_list("free").append(1)
    of = job.store.keys
    values = [Result.get_key(plain.id)]
    for element in (
        queue.connection.get(of.function),
        queue.connection.hget(of.hash, MapField.SEAL),
        queue.connection.hget(of.errors, "1"),
        queue.connection.lindex(of.results, 0),
        queue.connection.lindex(keys.named("list", "free"), 0),
        *(queue.connection.hget(one.key, "meta") for one in (job, plain)),
        *(base64.b64decode(queue.connection.xrange(key)[-1][1][b"return_value"]) for key in values),
    ):
        assert element.startswith(signing.MAGIC)
    assert plain.data.startswith(signing.MAGIC)


# -- forged and moved -----------------------------------------------------------------------------------------

Forge = Callable[[Queue, MapJob, MapJob, bytes], Any]


def body(queue: Queue, job: MapJob, _other: MapJob, bomb: bytes) -> None:
    name, old = queue.connection.hgetall(job.store.keys.bodies).popitem()
    queue.connection.hset(job.store.keys.bodies, name, old[: old.index(b"\n") + 1] + bomb)


def moved_body(queue: Queue, job: MapJob, other: MapJob, _bomb: bytes) -> None:
    queue.connection.copy(other.store.keys.bodies, job.store.keys.bodies, replace=True)


def function(queue: Queue, job: MapJob, _other: MapJob, bomb: bytes) -> None:
    queue.connection.set(job.store.keys.function, bomb)


def moved_function(queue: Queue, job: MapJob, other: MapJob, _bomb: bytes) -> None:
    queue.connection.copy(other.store.keys.function, job.store.keys.function, replace=True)


@pytest.mark.parametrize("forge", [body, moved_body, function, moved_function])
def test_what_is_to_run(queue: Queue, forge: Forge, bomb: bytes) -> None:
    job, other = queue.map(jobs.square, range(4)), queue.map(jobs.square, range(4))
    forge(queue, job, other, bomb)
    drain(queue)
    with pytest.raises(taskq.MapFailedError, match=r"SignatureError: the .* TASKQ_SECRET_KEY"):
        job.get()
    assert other.get() == [0, 1, 4, 9]
    assert refusals.counted(queue.connection) == {refusals.SIGNATURE: 1, refusals.IMPORT: 0}


@pytest.mark.parametrize("header", [b"p 0 3 0,1\n", b"p 0 2 1\n", b"p 1 2 \n", b"f 0 2 \n"])
def test_a_chunk_moved_to_other_items(queue: Queue, header: bytes) -> None:
    job = queue.map(jobs.square, range(4), chunksize=2)
    signed = queue.connection.hget(job.store.keys.bodies, "0:2")
    queue.connection.hset(job.store.keys.bodies, "0:2", header + signed.partition(b"\n")[2])
    drain(queue)
    with pytest.raises(taskq.MapFailedError, match=r"SignatureError|DamagedError"):
        job.get()


def test_a_forged_star(queue: Queue) -> None:
    job = queue.map(jobs.square, [(1,), (2,)])
    queue.connection.hset(job.store.keys.hash, MapField.STAR, 1)
    drain(queue)
    with pytest.raises(DamagedError, match="was changed since it was pushed"):
        job.get()


@pytest.mark.parametrize(
    ("name", "value"),
    [(MapField.TOTAL, 2), (MapField.ITEM_TIMEOUT, 0.001), (MapField.LIMIT, 1), (MapField.SEAL, "")],
)
@pytest.mark.parametrize("before", [True, False])
def test_what_was_announced(queue: Queue, name: str, value: object, before: bool) -> None:
    """A map can't be cut short, nor told otherwise, by who has no key."""
    job = queue.map(jobs.square, range(4), chunksize=1)
    if not before:
        drain(queue)
    queue.connection.hset(job.store.keys.hash, name, str(value))
    drain(queue)
    with pytest.raises(DamagedError):
        job.get()
    with pytest.raises(DamagedError):
        list(job)


def test_what_is_removed_or_repeated(queue: Queue) -> None:
    """Where every piece is signed, the whole is proved by counting each item once."""
    job = run(queue, jobs.invert, [0, 1, 2, 4])
    k = job.store.keys
    queue.connection.hdel(k.errors, "0")
    queue.connection.hset(k.hash, mapping={MapField.FAILED: 0})
    with pytest.raises((DamagedError, taskq.MapFailedError)):
        job.get()
    job = run(queue, jobs.square, range(4))
    k = job.store.keys
    first = queue.connection.lindex(k.results, 0)
    queue.connection.lset(k.results, 1, first)
    with pytest.raises(SignatureError):
        list(job)
    queue.connection.ltrim(k.results, 0, 2)
    with pytest.raises(DamagedError):
        job.get()
    job = run(queue, jobs.square, range(4))
    queue.connection.rpop(job.store.keys.results)
    with pytest.raises(DamagedError, match="has 3 elements, and the map 4 items"):
        list(job)


@pytest.mark.parametrize("told", [{}, {MapField.FAILED: 0, MapField.DONE: 4}])
def test_failures_of_which_the_hash_says_nothing(queue: Queue, told: dict[str, int]) -> None:
    """Else ``get()`` would return exceptions in the places of results, where nobody looks for any."""
    job = run(queue, jobs.invert, [0, 1, 2, 4])
    queue.connection.hdel(job.store.keys.hash, MapField.FIRST)
    if told:
        queue.connection.hset(job.store.keys.hash, mapping=told)
    with pytest.raises(DamagedError, match="holds records"):
        job.get()


def test_an_element_of_the_same_map_in_another_life(queue: Queue) -> None:
    job = run(queue, jobs.square, [5], job_id="nightly")
    old = queue.connection.lindex(job.store.keys.results, 0)
    again = run(queue, jobs.square, [7], job_id="nightly")
    queue.connection.lset(again.store.keys.results, 0, old)
    with pytest.raises(SignatureError):
        again.get()
    with pytest.raises(taskq.ReplacedError):
        job.get()


@pytest.mark.parametrize("read", [lambda job: job.get(), list, lambda job: list(job.result_list),
                                  lambda job: job.result_list[0], lambda job: job.result_list[:1]],
                         ids=["get", "iterate", "list", "element", "slice"])  # fmt: skip
@pytest.mark.parametrize("moved", [False, True], ids=["forged", "moved"])
def test_results(queue: Queue, read: Callable[[MapJob], Any], moved: bool, bomb: bytes) -> None:
    job, other = run(queue, jobs.square, range(4)), run(queue, jobs.square, range(4))
    forged = queue.connection.lindex(other.store.keys.results, 0) if moved else bomb
    queue.connection.lset(job.store.keys.results, 0, forged)
    with pytest.raises(SignatureError, match="was not read"):
        read(job)


def test_results_of_other_items(queue: Queue) -> None:
    job = run(queue, jobs.square, range(4))
    first, second = queue.connection.lrange(job.store.keys.results, 0, 1)
    queue.connection.lset(job.store.keys.results, 0, second)
    queue.connection.lset(job.store.keys.results, 1, first)
    with pytest.raises(SignatureError, match=r"result of item 0 .* signed for another"):
        job.get()


def test_error_records(queue: Queue, bomb: bytes) -> None:
    job, other = (run(queue, jobs.invert, [0, n]) for n in (1, 2))
    record = taskq.ItemFailure(0, "E", "m", pickled=base64.b64encode(bomb).decode()).to_json()
    moved = queue.connection.hget(other.store.keys.errors, "0")
    for forged in (record, moved):
        queue.connection.hset(job.store.keys.errors, "0", forged)
        for read in (lambda: job.get(errors="return"), lambda: dict(job.errors), lambda: list(job)):
            with pytest.raises(SignatureError):
                read()


def test_free_lists(queue: Queue, bomb: bytes) -> None:
    mine, other = queue.result_list("mine"), queue.result_list("other")
    other.append(1)
    for forged in (bomb, queue.connection.lindex(other.key, 0)):
        queue.connection.delete(mine.key)
        queue.connection.rpush(mine.key, forged)
        with pytest.raises(SignatureError):
            list(mine)


def test_plain_jobs_that_are_not_ours(queue: Queue, bomb: bytes) -> None:
    """Of stock RQ, of another job, and of somebody who means harm."""
    unsigned = Job.create(jobs.square, (3,), connection=queue.connection, origin=queue.name)
    unsigned.save()
    true, moved, forged = (queue.enqueue(jobs.square, n) for n in (1, 2, 3))
    queue.connection.hset(moved.key, "data", queue.connection.hget(true.key, "data"))
    queue.connection.hset(forged.key, "data", bomb)
    queue.push_job_id(unsigned.id)
    drain(queue)
    for job in (queue.fetch_job(unsigned.id), moved, forged):
        assert job.get_status() == JobStatus.FAILED
        assert "was not read. Whoever wrote it must have TASKQ_SECRET_KEY" in why(job)
    assert true.return_value() == 1
    with pytest.raises(DeserializationError, match="was not read"):
        _ = queue.fetch_job(forged.id).args


@pytest.mark.parametrize("when", ["success", "failure", "stopped"])
def test_callbacks_are_signed(queue: Queue, when: str) -> None:
    job = queue.enqueue(jobs.square, 3, on_success=Callback(jobs.remember))
    queue.connection.hset(job.key, f"{when}_callback_name", "tests.jobs.remember_process")
    drain(queue)
    assert job.get_status() == JobStatus.FAILED
    assert "TASKQ_SECRET_KEY" in why(job)
    assert queue.connection.get(f"test:callback:{job.id}") is None


def test_a_result_as_arguments(queue: Queue) -> None:
    """What a job returns may look like a function and its arguments; it is signed as something else."""
    job = queue.enqueue(jobs.echo, ("tests.jobs.square", None, (3,), {}))
    drain(queue)
    (_, entry), = queue.connection.xrange(Result.get_key(job.id))  # fmt: skip
    queue.connection.hset(job.key, "data", base64.b64decode(entry[b"return_value"]))
    queue.push_job_id(job.id)
    drain(queue)
    assert job.get_status() == JobStatus.FAILED
    assert "SignatureError" in why(job)


def test_return_values(queue: Queue, bomb: bytes) -> None:
    job, other = queue.enqueue(jobs.square, 3), queue.enqueue(jobs.square, 4)
    drain(queue)
    (_, entry), = queue.connection.xrange(Result.get_key(other.id))  # fmt: skip
    for forged in (base64.b64encode(bomb), entry[b"return_value"]):
        queue.connection.xadd(Result.get_key(job.id), {**entry, b"return_value": forged})
        for read in (lambda job: job.latest_result(), lambda job: job.return_value(), lambda job: job.results()):
            with pytest.raises(SignatureError):
                read(queue.fetch_job(job.id))


def test_meta(queue: Queue, bomb: bytes) -> None:
    job, other = (queue.enqueue(jobs.square, n, meta={"n": n}) for n in (1, 2))
    for forged in (bomb, queue.connection.hget(other.key, "meta")):
        queue.connection.hset(job.key, "meta", forged)
        assert queue.fetch_job(job.id).meta == {"unserialized": forged}  # RQ's way
        found = fetch(job.id, queue.connection, codec.Serializer)  # as commands and the page do
        assert found is not None
        assert found.meta == {"unserialized": forged}
        with pytest.raises(SignatureError):
            job.get_meta()


# -- with and without a key --------------------------------------------------------------------------------------


def test_rotation(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.map(jobs.square, range(3))
    monkeypatch.setenv(signing.VARIABLE, f"{KEY[::-1]},{KEY}")
    drain(queue)
    assert job.get() == [0, 1, 4]
    monkeypatch.setenv(signing.VARIABLE, KEY)
    with pytest.raises(SignatureError, match="another key"):
        job.get()


def test_a_worker_without_the_key(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job, plain = queue.map(jobs.square, range(3)), queue.enqueue(jobs.square, 3)
    monkeypatch.delenv(signing.VARIABLE)
    drain(queue)
    with pytest.raises(taskq.MapFailedError, match="TASKQ_SECRET_KEY is not set here"):
        job.get()
    assert "TASKQ_SECRET_KEY is not set here" in why(plain)


def test_without_a_key_the_bytes_are_as_ever(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    queue = Queue(connection=any_queue.connection)
    assert queue.job_class is Job
    job, plain = queue.map(jobs.square, range(3)), queue.enqueue(jobs.square, 3)
    assert queue.connection.hget(job.store.keys.bodies, "0:1") == b"p 0 1 \n" + codec.dumps(range(1))
    assert pickle.loads(plain.data) == ("tests.jobs.square", None, (3,), {})
    drain(queue)
    assert pickle.loads(queue.connection.lindex(job.store.keys.results, 2)) == 4
