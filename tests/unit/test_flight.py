"""The flight record: what a dead service's processes ran."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from taskq_workers.link import flight
from taskq_workers.link.flight import CHUNK, JOB, Flight, Flown, Slot, label, numbers_at
from taskq_workers.link.lending import Lending
from taskq_workers.link.marker import Marker


@pytest.fixture
def record(tmp_path: Path) -> Flight:
    return Flight(tmp_path / "flight-0", 2)


def slot_of(record: Flight) -> tuple[Slot, Marker]:
    """A slot, and the marker as its process has it: by way of the file."""
    slot = record.slot()
    assert slot is not None
    return slot, Marker(numbers_at(slot.where))


def test_only_what_runs_is_told(record: Flight) -> None:
    slot, process = slot_of(record)
    other, idle = slot_of(record)
    slot.say([label(7, CHUNK, "a map", "incarnation", "10:5", 4), label(8, CHUNK, "a map", "incarnation", "15:5")])
    other.say([label(9, JOB, "job", "execution")])
    process.begin(7)
    process.item(12)
    idle.begin(0)
    assert flight.take(record.path) == [Flown(CHUNK, "a map", "incarnation", "10:5", 12, lane=4)]
    assert flight.take(record.path) is None, "it is read once"


def test_how_long_it_ran_and_what_waited_for_other_work(record: Flight, monkeypatch: pytest.MonkeyPatch) -> None:
    slot, process = slot_of(record)
    waiting, parent = slot_of(record)
    slot.say([label(1, JOB, "nested", "e")])
    waiting.say([label(2, JOB, "parent", "f")])
    now = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    parent.begin(2)
    Lending(numbers_at(waiting.where)).lend()
    now += 3 * 10**9
    process.begin(1)
    now += 2 * 10**9
    nested, left = flight.take(record.path) or []
    assert (nested.waited, nested.seconds) == (False, 2.0)
    assert (left.waited, left.seconds) == (True, 5.0)


def test_a_batch(record: Flight) -> None:
    slot, process = slot_of(record)
    slot.say([label(number, JOB, f"job-{number}", "e") for number in range(1, 33)])
    for number in range(1, 6):
        process.begin(number)
    assert flight.take(record.path) == [Flown(JOB, "job-5", "e", "", None)]


def test_what_has_ended_is_not_told(record: Flight) -> None:
    slot, process = slot_of(record)
    slot.say([label(1, JOB, "job", "e")])
    process.begin(1)
    slot.say([])
    assert flight.take(record.path) == []


def test_the_service_sees_what_the_process_writes(record: Flight) -> None:
    slot, process = slot_of(record)
    service = Marker(slot.numbers)
    assert service.stillborn
    process.begin(3)
    service.stop(3)
    assert service.task == 3
    assert process.stops(3)


def test_a_slot_is_used_again_and_begins_anew(record: Flight) -> None:
    first, process = slot_of(record)
    for _ in range(3 * 2 + 4 + 2 * flight.BESIDE - 1):
        record.slot()
    process.begin(5)
    first.say([label(5, JOB, "job", "e")])
    first.close()
    again = record.slot()
    assert again is not None
    assert again.where == first.where
    assert Marker(again.numbers).stillborn
    assert flight.take(record.path) == []


def test_a_process_without_a_slot_is_the_end_of_the_record(record: Flight) -> None:
    first, last = record.slot(), None
    while slot := record.slot():
        last = slot
    assert first is not None
    assert last is not None
    assert Marker(numbers_at(last.where)).stillborn, "its process may come up only now"
    first.close()
    assert record.slot() is None, "it is no record any more, whoever ends"
    assert flight.take(record.path) is None


def test_too_much_for_a_slot_is_no_evidence(record: Flight) -> None:
    slot, process = slot_of(record)
    slot.say([label(1, JOB, "x" * 10_000, "e")])
    process.begin(1)
    assert flight.take(record.path) is None


def test_a_file_of_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "flight-0"
    for data in (b"", b"\xff" * 100, b"\xff" * 40_000, bytes(range(256)) * 100):
        path.write_bytes(data)
        flight.take(path)
    assert flight.take(path) is None
