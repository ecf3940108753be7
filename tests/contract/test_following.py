"""What ``taskq map``, ``attach`` and ``results`` write is right, or they say that it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job, JobStatus

from taskq import DamagedError, MapJob, Queue, ResultsGoneError
from taskq.maps import spans_read
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.reader import MapReader
from taskq.testing import drain
from taskq_workers.cli import exits, follow
from taskq_workers.cli.follow import Following
from tests import jobs
from tests.contract.test_arrivals import Map, told


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    found: list[str] = []
    monkeypatch.setattr(follow, "put_line", found.append)
    return found


def turn(queue: Queue, made: Map, results: int, spans: int = 1) -> None:
    """As after the server came back as it was before the first chunk was committed, and then that was the last."""
    k = made.store.keys
    for key, count in ((k.results, results), (k.spans, spans)):
        for _ in range(count):
            queue.connection.lmove(key, key, "LEFT", "RIGHT")


@pytest.mark.parametrize("in_order", [True, False])
def test_what_was_told_stands_there_still(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    monkeypatch.setattr(spans_read, "BATCH", 1)
    made = Map(any_queue)
    reading = Arrivals(made.store, in_order=in_order)
    reading.check()
    for number in (2, 0, 1, 3):
        made.commit(number)
        told(reading)
        reading.check()


@pytest.mark.parametrize("in_order", [True, False])
def test_what_was_told_of_a_list_that_came_back_older(any_queue: Queue, in_order: bool) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store, in_order=in_order)
    made.commit(1)
    made.commit(2)
    told(reading)
    turn(any_queue, made, 2)
    with pytest.raises(ResultsGoneError, match="read them again"):
        reading.check()


@pytest.mark.parametrize("in_order", [True, False])
def test_what_was_told_of_a_list_that_came_back_older_between_two_looks(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    made = Map(any_queue)
    reading = Arrivals(made.store, in_order=in_order)
    made.commit(1)
    made.commit(2)
    told(reading)
    at_end = MapReader.at_end

    def come_back(self: MapReader, *args: int) -> Any:
        monkeypatch.setattr(MapReader, "at_end", at_end)
        any_queue.connection.rpop(self.keys.spans)
        any_queue.connection.rpop(self.keys.results, 2)
        return at_end(self, *args)

    monkeypatch.setattr(MapReader, "at_end", come_back)
    with pytest.raises(ResultsGoneError, match="read them again"):
        reading.check()


@pytest.mark.parametrize("key", ["spans", "results"])
def test_a_part_of_what_was_told_is_gone(any_queue: Queue, key: str) -> None:
    """The map is not over, or was cancelled: what is there may be wrong all the same."""
    made = Map(any_queue)
    for number in (1, 2):
        made.commit(number)
    any_queue.connection.lpop(getattr(made.store.keys, key))
    reading = Arrivals(made.store)
    told_of = 2 if key == "spans" else 4
    list(reading.new(failures=True, ended=True))
    with pytest.raises(DamagedError, match=f"its spans tell of {told_of}"):
        reading.check()


def test_it_is_followed_to_the_end(any_queue: Queue, lines: list[str]) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=2)
    drain(any_queue)
    assert Following(values=True).run(job) == exits.OK
    assert lines == ["0", "1", "4", "9"]


@pytest.mark.parametrize(("as_completed", "start"), [(False, 1), (False, 3), (True, 3), (False, 9)])
def test_from_a_position_on(any_queue: Queue, lines: list[str], as_completed: bool, start: int) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=2)
    drain(any_queue)
    assert Following(as_completed, values=True, start=start).run(job) == exits.OK
    assert lines == ["0", "1", "4", "9"][start:]


def test_a_list_that_came_back_older_while_it_was_followed(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=2)
    drain(any_queue)
    made: Any = type("Made", (), {"store": job.store})
    monkeypatch.setattr(follow, "put_line", lambda line: line == "9" and turn(any_queue, made, 2))
    with pytest.raises(ResultsGoneError, match="read them again"):
        Following(values=True).run(job)


def test_a_map_that_has_lost_a_span_is_not_followed_as_if_it_were_whole(
    any_queue: Queue, lines: list[str]
) -> None:
    job = any_queue.map(jobs.square, range(4), chunksize=2)
    drain(any_queue)
    any_queue.connection.lpop(job.store.keys.spans)
    with pytest.raises(DamagedError, match="spans tell of 2"):
        Following(values=True).run(job)


def test_a_push_that_the_server_has_lost_is_not_followed_as_if_it_were_an_empty_map(any_queue: Queue) -> None:
    """The server came back as it was while the items were written: there is no RQ job, and no total."""
    job = any_queue.map(jobs.square, range(4))
    any_queue.connection.hset(job.store.keys.hash, "state", "writing")
    any_queue.connection.hdel(job.store.keys.hash, "total")
    any_queue.connection.delete(job.key)
    with pytest.raises(ResultsGoneError, match="Push it again"):
        Following(values=True).run(job)


def test_an_end_that_the_server_has_forgotten_is_not_taken_for_one(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = any_queue.map(jobs.square, range(4))
    monkeypatch.setattr(MapJob, "ready", lambda _job: True)  # when it was asked
    monkeypatch.setattr(MapJob, "status_now", lambda _job: JobStatus.STARTED)
    assert Following(values=True).run(job) == exits.ENDED_EARLY
    assert "the map goes on" in capsys.readouterr().err


WAYS: dict[str, Callable[[MapJob, list[str]], None]] = {
    "attach": lambda job, _lines: _check(Following(values=True).run(job) == exits.OK),
    "attach, as completed": lambda job, _lines: _check(Following(True, values=True).run(job) == exits.OK),
    "in_order": lambda job, lines: lines.extend(map(str, job.in_order())),
    "as_completed": lambda job, lines: lines.extend(map(str, job.as_completed())),
    "results_by_index": lambda job, lines: lines.extend(str(value) for _index, value in job.results_by_index()),
}


def _check(right: bool) -> None:
    assert right


@pytest.mark.parametrize("what", WAYS)
def test_what_is_committed_between_the_ends_of_its_job_and_of_the_map_is_told(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, lines: list[str], what: str
) -> None:
    """RQ's own ``Job.cancel`` does not know of the map, which may be whole before it hears of that."""
    made, ready = Map(any_queue, jobs.square), MapJob.ready
    for number in (1, 2, 3):
        made.commit(number)

    def then(job: MapJob) -> bool:
        ended = ready(job)
        if not ended:
            Job.fetch(job.id, any_queue.connection).cancel()
            return ready(job)  # and the last chunk comes while it is read
        monkeypatch.setattr(MapJob, "ready", ready)
        return ended

    real = Arrivals.new

    def new(self: Arrivals, **how: bool) -> Iterator[Arrival]:
        yield from real(self, **how)
        monkeypatch.setattr(Arrivals, "new", real)
        made.commit(0)
        made.store.close("")

    monkeypatch.setattr(MapJob, "ready", then)
    monkeypatch.setattr(Arrivals, "new", new)
    WAYS[what](made.job, lines)
    assert sorted(map(int, lines)) == [n * n for n in range(8)]


@pytest.mark.parametrize("in_order", [True, False])
def test_what_was_told_to_have_failed_has_a_result_now(any_queue: Queue, tmp_path: Path, in_order: bool) -> None:
    """It was tried again between two looks."""
    flag = tmp_path / "flag"
    flag.touch()
    job = any_queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(3)], chunksize=1)
    reading = Arrivals(job.store, in_order=in_order)
    drain(any_queue)
    assert [one.index for one in reading.new(failures=True, ended=True) if one.failure] == [2]
    reading.check()
    flag.unlink()
    job.requeue()
    drain(any_queue)
    assert [one.failure for one in reading.new(failures=True, ended=True)] in ([], [None])
    with pytest.raises(ResultsGoneError, match=r"tried again meanwhile: of the 1 items .* 0 have"):
        reading.check()
