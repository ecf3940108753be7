"""Results are gathered in input order while the map runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from taskq import Queue, WaitTimeoutError
from taskq.errors import DamagedError, ItemError, ResultsGoneError
from taskq.maps import collecting, spans_read
from taskq.maps.gathering import Gathering
from taskq.maps.job import MapJob
from taskq.maps.reader import MapReader
from taskq.redis import list_reader
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.test_arrivals import Map
from tests.waiting import HANGS, LONG, wait_until

A_LOOK = 1.2  # seconds: more than passes between two looks at a map


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each batch that is read: whether the map had ended by then."""
    seen: list[bool] = []
    put = Gathering._put

    def note(self: Gathering, start: int, elements: list[bytes]) -> None:
        seen.append(MapJob(self._store.keys.id, connection=self._store.connection).ready())
        put(self, start, elements)

    monkeypatch.setattr(Gathering, "_put", note)
    return seen


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_as_they_come(any_queue: Queue, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """A batch may end in the middle of a run, and hold several."""
    monkeypatch.setattr(list_reader, "_FIRST", batch)
    monkeypatch.setattr(list_reader, "_MOST", batch)
    made = Map(any_queue)
    gathering = Gathering(made.store, 8)
    assert not gathering.read_some()
    made.commit(2)
    made.commit(1)
    gathering.read_all()
    assert gathering.results == [None, None, 1 / 2, 1 / 3, 1 / 4, 1 / 5, None, None]
    made.commit(0)
    made.commit(3)
    gathering.read_all()
    assert gathering.results == [None, 1.0, *(1 / n for n in range(2, 8))]
    assert not gathering.read_some()


def test_a_list_that_has_lost_elements(any_queue: Queue) -> None:
    made = Map(any_queue)
    made.commit(1)
    any_queue.connection.delete(made.store.keys.results)
    with pytest.raises(DamagedError, match="fewer elements"):
        Gathering(made.store, 8).read_all()


def test_spans_that_tell_twice_of_an_item(any_queue: Queue) -> None:
    made = Map(any_queue)
    made.commit(1)
    any_queue.connection.rpush(made.store.keys.spans, "3:1")
    with pytest.raises(DamagedError, match="tells twice of items from 3 on"):
        Gathering(made.store, 8).read_rest([], 3)


@pytest.mark.parametrize("before", ["2", "21", "210", "12", "120"])
@pytest.mark.parametrize("after", ["2103", "2130", "2031", "3021"])
def test_a_list_that_came_back_older(any_queue: Queue, before: str, after: str) -> None:
    """As after a server's death: what was read is no more the beginning of what there is."""
    made = Map(any_queue)
    for chunk in range(4):
        made.commit(chunk)
    keys, connection = made.store.keys, any_queue.connection
    elements = connection.lrange(keys.results, 0, -1)
    of_chunk = {"0": elements[:1], "1": elements[1:3], "2": elements[3:5], "3": elements[5:]}
    spans = dict(zip("0123", connection.lrange(keys.spans, 0, -1), strict=True))

    def have(chunks: str) -> None:
        connection.delete(keys.results, keys.spans)
        for chunk in chunks:
            connection.rpush(keys.results, *of_chunk[chunk])
            connection.rpush(keys.spans, spans[chunk])

    for meanwhile, read in itertools.product(
        range(4), (Gathering.read_all, lambda one: one._note(one._store.spans(0, 99)))
    ):
        have(before)
        gathering = Gathering(made.store, 8)
        read(gathering)
        have(after[:meanwhile])
        gathering.read_some()
        have(after)
        gathering.read_rest(made.store.spans(gathering.spans, spans_read.BATCH), 7)
        assert gathering.results == [None, 1.0, *(1 / n for n in range(2, 8))], meanwhile


def unreadable_at(gathering: Gathering, *bad: int) -> None:
    """Have the results of these items be of a class that is not here."""
    read = gathering._read

    def fails(data: bytes, index: int) -> Any:
        if index in bad:
            raise ImportError("no such class here")
        return read(data, index)

    gathering._read, gathering._read_many = (
        fails,
        lambda elements, first: map(fails, elements, itertools.count(first)),
    )


@pytest.mark.parametrize("bad", [(0,), (1, 2), (2, 5), (5,), range(2, 6), range(8)])
def test_what_can_not_be_read_costs_only_itself(any_queue: Queue, bad: Sequence[int]) -> None:
    made = Map(any_queue)
    for chunk in range(4):
        made.commit(chunk)
    gathering = Gathering(made.store, 8)
    unreadable_at(gathering, *bad)
    gathering.read_all()
    expected = [None, *(1 / n for n in range(1, 8))]
    for index, (found, wanted) in enumerate(zip(gathering.results, expected, strict=True)):
        if index and index in bad:
            assert isinstance(found, ItemError)
            assert f"item {index} " in str(found)
        else:
            assert found == wanted
    first = min((index for index in bad if index), default=None)
    assert (gathering.unreadable is None) is (first is None)
    assert first is None or f"item {first} " in str(gathering.unreadable)


def test_what_could_not_be_read_is_forgotten_with_the_list_it_was_in(any_queue: Queue) -> None:
    made = Map(any_queue)
    made.commit(1)
    gathering = Gathering(made.store, 8)
    read = gathering._read, gathering._read_many
    unreadable_at(gathering, *range(8))
    gathering.read_all()
    assert gathering.unreadable
    gathering._read, gathering._read_many = read
    made.commit(2)
    for key, count in ((made.store.keys.results, 2), (made.store.keys.spans, 1)):
        for _ in range(count):
            any_queue.connection.lmove(key, key, "LEFT", "RIGHT")
    gathering.read_rest(made.store.spans(gathering.spans, spans_read.BATCH), 4)
    assert gathering.results == [None, None, *(1 / n for n in range(2, 6)), None, None]
    assert gathering.unreadable is None


def test_get_reads_while_the_map_runs(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: list[bool]
) -> None:
    flag, put = tmp_path / "read", Gathering._put

    def let_end(self: Gathering, start: int, elements: list[bytes]) -> None:
        put(self, start, elements)
        flag.touch()

    monkeypatch.setattr(Gathering, "_put", let_end)
    with running_worker(any_queue, processes=1):
        job = any_queue.map(jobs.wait_for, ["", "", str(flag)], chunksize=1)
        assert job.get() == ["", "", str(flag)]
    assert not read[0]


def test_but_not_what_it_will_not_return(any_queue: Queue, read: list[bool]) -> None:
    with running_worker(any_queue, processes=1):
        job = any_queue.map(jobs.fail_first, range(6), chunksize=1)
        with pytest.raises(ZeroDivisionError):
            job.get()
        assert read == []
        assert len(job.get(errors="return")) == 6
    assert read


def test_nothing_is_read_ahead_that_a_timeout_would_throw_away(
    any_queue: Queue, tmp_path: Path, read: list[bool]
) -> None:
    with running_worker(any_queue, processes=1):
        job = any_queue.map(jobs.wait_for, ["", "", str(tmp_path / "flag")], chunksize=1)
        wait_until(lambda: job.progress.done == 2, "there is something to read")
        with pytest.raises(WaitTimeoutError):
            job.get(timeout=A_LOOK)
        assert read == []
        (tmp_path / "flag").touch()
        assert len(job.get()) == 3


def test_a_map_that_is_deleted_while_it_is_read(any_queue: Queue) -> None:
    made = Map(any_queue)
    made.commit(1)
    gathering = Gathering(made.store, 8)
    gathering._note(made.store.spans(0, 10**6))
    made.job.delete()
    with pytest.raises(ResultsGoneError):
        gathering.read_some()


@pytest.mark.parametrize(("items", "options"), [([0.5], {"timeout": HANGS}), ([None, 0.5], {})])
def test_get_looks_seldom_where_nothing_is_to_be_read(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, items: list[Any], options: dict[str, Any]
) -> None:
    """It is told when the map has ended."""
    looks: list[None] = []
    ready = MapJob.ready
    monkeypatch.setattr(collecting, "_READ", (*collecting._READ[:2], LONG))
    monkeypatch.setattr(MapJob, "ready", lambda self: (looks.append(None), ready(self))[1])
    with running_worker(any_queue, processes=1):
        job = any_queue.map(jobs.nap, items, chunksize=1)
        wait_until(lambda: options or job.store.failed(), "the failure is known")
        with nullcontext() if options else pytest.raises(TypeError):
            job.get(**options)
    assert len(looks) <= 4


def one_that_fails_once(queue: Queue, folder: Path) -> tuple[MapJob[int], Path]:
    """A map that has ended, of three items of which the last one has failed; and what has it fail."""
    flag = folder / "flag"
    flag.touch()
    job = queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(3)], chunksize=1)
    drain(queue)
    return job, flag


READ = {
    "get": lambda job: job.get(),
    "get with errors": lambda job: job.get(errors="return"),
    "count": lambda job: list(range(job.count())),
    "one by one": list,
}


@pytest.mark.parametrize("how", READ)
def test_a_map_that_is_tried_again_while_its_end_is_read(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What it has failed with is not there any more: nothing is damaged, and nothing was lost."""
    job, flag = one_that_fails_once(fake_queue, tmp_path)
    failures_at, each_failure = MapReader.failures_at, MapReader.each_failure

    def try_again() -> None:
        if flag.exists():
            flag.unlink()
            job.requeue()
            drain(fake_queue)

    monkeypatch.setattr(MapReader, "failures_at", lambda *args: (try_again(), failures_at(*args))[1])
    monkeypatch.setattr(MapReader, "each_failure", lambda *args: (try_again(), each_failure(*args))[1])
    assert READ[how](job) == [0, 1, 2]
    assert not flag.exists()


@pytest.mark.parametrize("errors", ["raise", "return"])
def test_a_server_that_comes_back_older_while_the_end_is_read(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: Any
) -> None:
    """It has lost a retry that went well; what it has is whole, and another end."""
    job, flag = one_that_fails_once(fake_queue, tmp_path)
    connection, at_end = fake_queue.connection, MapReader.at_end
    keys = [key for key in (job.key, *job.store.keys.all) if connection.exists(key)]
    before = {key: connection.dump(key) for key in keys}
    flag.unlink()
    job.requeue()
    drain(fake_queue)

    def come_back(self: MapReader, *args: int) -> Any:
        monkeypatch.setattr(MapReader, "at_end", at_end)
        told = at_end(self, *args)
        connection.delete(job.key, *job.store.keys.all)
        for key, dump in before.items():
            connection.restore(key, 0, dump)
        return told

    monkeypatch.setattr(MapReader, "at_end", come_back)
    if errors == "raise":
        with pytest.raises(ValueError, match="not yet"):
            job.get()
    else:
        *values, error = job.get(errors="return")
        assert (values, str(error)) == ([0, 1], "not yet")
