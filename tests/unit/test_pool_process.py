"""A batch, and what is forgotten, inside a pool process without a service."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from unittest.mock import Mock

import pytest

from taskq.payload import codec, large
from taskq_workers.link import ledger, marker
from taskq_workers.link.ledger import Ledger
from taskq_workers.link.lending import Lending
from taskq_workers.link.marker import Marker
from taskq_workers.link.tasks import BatchTask, JobTask
from taskq_workers.process import process
from tests import jobs


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> tuple[Marker, Ledger]:
    """The service's view of what this process, as a pool process, says."""
    ctx = multiprocessing.get_context("forkserver")
    numbers, memory = marker.allot(ctx), ledger.allot(ctx)
    monkeypatch.setattr(process, "_marker", Marker(numbers), raising=False)
    monkeypatch.setattr(process, "_ledger", Ledger(memory), raising=False)
    monkeypatch.setattr(process, "_lending", Lending(marker.fresh()), raising=False)
    return Marker(numbers), Ledger(memory)


def batch(numbers: range, seconds: float = 60.0) -> BatchTask:
    data = codec.Serializer.dumps(("tests.jobs.square", None, (3,), {}))
    fields = {
        b"created_at": b"2026-01-01T00:00:00.000000Z",
        b"data": data,
        b"timeout": b"-1",
        b"origin": b"default",
    }
    return BatchTask(numbers[0], tuple((n, JobTask(f"job-{n}", fields, "worker")) for n in numbers), seconds)


def test_each_end_is_in_the_ledger(service: tuple[Marker, Ledger]) -> None:
    told, ends = service
    assert process.run_batch(batch(range(5, 8))) == []
    assert [(number, codec.Serializer.loads(end.value or b"")) for number, end in ends.read()] == [
        (number, jobs.square(3)) for number in range(5, 8)
    ]
    assert told.task == 7


def test_a_batch_that_is_recalled_before_it_was_read_blames_nobody(service: tuple[Marker, Ledger]) -> None:
    told, ends = service
    told.stop(5)
    assert process.run_batch(batch(range(5, 8))) == []
    assert (told.task, list(ends.read())) == (0, [])


def test_what_is_not_begun_in_time_is_not_to_blame(service: tuple[Marker, Ledger]) -> None:
    told, ends = service
    assert process.run_batch(batch(range(5, 8), seconds=-1.0)) == []
    assert (told.task, list(ends.read())) == (0, [])


def test_of_two_maps_that_refer_to_the_same_the_second_still_has_it() -> None:
    digest = "d" * 64
    large.offer(digest, lambda: memoryview(b""))
    process._large.update({"first": [digest], "second": [digest]})
    process._drop(["first"])
    assert large.is_offered(digest)
    process._drop(["second"])
    assert not large.is_offered(digest)
    assert not {"first", "second"} & set(process._large)


@pytest.mark.parametrize("alive", [True, False])
def test_a_process_that_comes_up_when_its_service_is_gone_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """Its service was killed, and all that was the service's is gone: also the record in which it was to write."""
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: Mock(is_alive=lambda: alive))
    with pytest.raises(FileNotFoundError if alive else SystemExit):
        process._numbers_at((str(tmp_path / "flight-0"), 0))
