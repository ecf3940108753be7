"""A map whose id is pushed again: attached to, or replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rq.job import JobStatus

from taskq import DuplicateJobError, MapJob, OptionError, Queue, ReplacedError
from taskq.maps import existing
from taskq.maps.draft import Draft
from taskq.redis import clock
from taskq.redis.keys import MapField
from taskq.testing import drain
from tests import jobs
from tests.waiting import HANGS, wait_until


def attached(queue: Queue, fn: Any = jobs.square, items: Any = range(10), **options: Any) -> MapJob[Any]:
    return queue.map(fn, items, job_id="nightly", if_exists="attach", **options)


def incarnation(queue: Queue) -> bytes | None:
    found: bytes | None = queue.connection.hget("taskq:{nightly}", MapField.INCARNATION)
    return found


@pytest.mark.parametrize(
    "items",
    [lambda: range(10), lambda: list(range(10)), lambda: iter(range(10))],
    ids=["range", "list", "generator"],
)
def test_attached_to_whatever_has_become_of_it(any_queue: Queue, items: Callable[[], Any]) -> None:
    first = attached(any_queue, items=iter(range(10)), chunksize=3)
    waiting = attached(any_queue, items=items())
    assert waiting.incarnation == first.incarnation
    assert any_queue.job_ids == ["nightly"]
    drain(any_queue)
    ended = attached(any_queue, items=items(), chunksize=4)
    assert ended.incarnation == first.incarnation
    assert ended.get() == waiting.get() == [n * n for n in range(10)]
    assert any_queue.job_ids == []


def test_one_that_failed_is_attached_to_and_can_be_tried_again(fake_queue: Queue) -> None:
    first = attached(fake_queue, jobs.invert, range(3))
    drain(fake_queue)
    again = attached(fake_queue, jobs.invert, range(3))
    assert (again.incarnation, again.get_status()) == (first.incarnation, JobStatus.FAILED)
    with pytest.raises(ZeroDivisionError):
        again.get()
    again.requeue()
    assert attached(fake_queue, jobs.invert, range(3)).get_status() == JobStatus.QUEUED


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"items": range(11)}, "it has 10 items, and not 11"),
        ({"items": iter(range(9))}, "it has 10 items, and not 9"),
        ({"items": range(1, 11)}, "its 10 items are others"),
        ({"fn": jobs.invert}, "its function is square, and not invert"),
        ({"item_timeout": 3}, "item_timeout is None there, and 3.0 here"),
        ({"max_failures": 0}, "max_failures is None there, and 0 here"),
    ],
)
def test_another_map_is_none_to_attach_to(fake_queue: Queue, options: Any, why: str) -> None:
    before = attached(fake_queue).incarnation
    with pytest.raises(OptionError, match=why):
        attached(fake_queue, **options)
    assert incarnation(fake_queue) == before.encode()


def test_code_that_has_changed(fake_queue: Queue) -> None:
    def pushed(by: int) -> MapJob[int]:
        return attached(fake_queue, lambda n: n + by)

    assert pushed(1).incarnation == pushed(1).incarnation
    with pytest.raises(OptionError, match=r"the code of its function .* is another"):
        pushed(2)


def test_another_queue(fake_queue: Queue) -> None:
    attached(fake_queue)
    with pytest.raises(OptionError, match="queue is 'default' there, and 'other' here"):
        attached(Queue("other", connection=fake_queue.connection))


def test_one_of_which_nothing_is_known(fake_queue: Queue) -> None:
    fake_queue.map(jobs.square, range(10), job_id="nightly")
    with pytest.raises(OptionError, match='was not pushed with if_exists="attach"'):
        attached(fake_queue)


def test_nothing_is_announced_without_need(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(10), job_id="nightly")
    stored = fake_queue.connection.hgetall(job.store.keys.hash)
    assert not {MapField.TERMS.encode(), MapField.WRITER.encode()} & set(stored)


@pytest.mark.parametrize("how", ["raise", "attach", "replace"])
def test_as_ever_without_it(fake_queue: Queue, how: Any) -> None:
    first = fake_queue.map(jobs.square, range(3), job_id="nightly", if_exists=how)
    with pytest.raises(DuplicateJobError, match="exists and is queued"):
        fake_queue.map(jobs.square, range(3), job_id="nightly")
    drain(fake_queue)
    assert fake_queue.map(jobs.square, range(3), job_id="nightly").incarnation != first.incarnation


def test_replaced_whatever_it_does(any_queue: Queue) -> None:
    for items in (range(3), range(4), range(4)):
        job = any_queue.map(jobs.square, items, job_id="nightly", if_exists="replace")
    assert any_queue.job_ids == ["nightly"]
    drain(any_queue)
    assert job.get() == [0, 1, 4, 9]
    assert any_queue.map(jobs.square, [5], job_id="nightly", if_exists="replace").get_status() == JobStatus.QUEUED
    with pytest.raises(ReplacedError):
        job.get(timeout=0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"if_exists": "attach"}, "needs a job_id"),
        ({"if_exists": "ignore", "job_id": "x"}, 'must be "raise", "attach" or "replace"'),
        ({"if_exists": "attach", "job_id": "x", "unique": True}, "contradict"),
    ],
)
def test_options_that_can_not_be(fake_queue: Queue, options: Any, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        fake_queue.map(jobs.square, [1], **options)


# -- others who write it ---------------------------------------------------------------------------------


def written(queue: Queue, lease: float | None) -> Draft:
    """A map that somebody has begun to write, and whose lease goes on for so many seconds; None: he has none."""
    draft = Draft("nightly", queue.connection)
    fields = {} if lease is None else {MapField.WRITER: lease}
    assert draft.begin(b"function", {MapField.NAME: "x", MapField.STAR: 0, MapField.LIMIT: 1, **fields})
    return draft


@pytest.mark.parametrize("lease", [-1.0, 0.5])
@pytest.mark.parametrize("how", ["raise", "attach", "replace"])
def test_a_producer_that_died_while_it_wrote(any_queue: Queue, how: Any, lease: float) -> None:
    left = written(any_queue, lease)
    job = any_queue.map(jobs.square, range(3), job_id="nightly", if_exists=how)
    assert job.incarnation != left.keys.incarnation
    drain(any_queue)
    assert job.get() == [0, 1, 4]


def test_a_producer_of_whom_nothing_is_known(fake_queue: Queue) -> None:
    written(fake_queue, None)
    with pytest.raises(DuplicateJobError, match="is writing a map with the id 'nightly', or has died of it"):
        attached(fake_queue)


def test_who_comes_again_with_an_id_of_his_own_has_a_lease(fake_queue: Queue) -> None:
    def items() -> Iterator[int]:
        yield 1
        assert fake_queue.connection.hget("taskq:{nightly}", MapField.WRITER)

    fake_queue.map(jobs.square, items(), job_id="nightly")


def test_a_producer_that_lives_is_not_waited_for(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "LEASE", 0.4)
    draft = written(fake_queue, 0.4)
    with existing.lease(draft), pytest.raises(DuplicateJobError, match="is being written by another producer"):
        fake_queue.map(jobs.square, range(3), job_id="nightly")
    assert incarnation(fake_queue) == draft.keys.incarnation.encode()


def test_many_at_once(any_queue: Queue) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    found: list[MapJob[Any]] = []

    def slowly() -> Iterator[int]:
        yield 0
        begun.set()
        assert goes_on.wait(HANGS)
        yield from range(1, 10)

    threads = [threading.Thread(target=lambda: found.append(attached(any_queue, items=slowly())))]
    threads[0].start()
    assert begun.wait(HANGS)
    threads += [threading.Thread(target=lambda: found.append(attached(any_queue))) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    goes_on.set()
    for thread in threads:
        thread.join(HANGS)
    assert len({job.incarnation for job in found}) == 1
    assert (len(found), any_queue.job_ids) == (4, ["nightly"])


def test_who_writes_slowly_lives(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "LEASE", 0.2)

    def slowly() -> Iterator[int]:
        began = clock.ask(fake_queue.connection)
        for n in range(10):
            yield n
            wait_until(lambda: writer() > began + 0.5 if not n else True)  # noqa: B023 - waited for here

    def writer() -> float:
        return float(fake_queue.connection.hget("taskq:{nightly}", MapField.WRITER) or 0)

    assert attached(fake_queue, items=slowly()).incarnation == (incarnation(fake_queue) or b"").decode()
    assert not writer()


def test_a_generator_that_breaks_leaves_nothing(fake_queue: Queue) -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise DuplicateJobError("of its own")

    with pytest.raises(DuplicateJobError, match="of its own"):
        attached(fake_queue, items=breaks())
    assert incarnation(fake_queue) is None
