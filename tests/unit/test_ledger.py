"""What a pool process leaves behind of a batch."""

from __future__ import annotations

import multiprocessing

import pytest

from taskq_workers.link import ledger
from taskq_workers.link.ledger import Ledger
from taskq_workers.link.tasks import JobOutcome


@pytest.fixture
def sides() -> tuple[Ledger, Ledger]:
    memory = ledger.allot(multiprocessing.get_context("forkserver"))
    return Ledger(memory), Ledger(memory)


def test_what_one_side_adds_the_other_reads(sides: tuple[Ledger, Ledger]) -> None:
    process, service = sides
    assert not list(service.read())
    process.clear()
    assert not list(service.read())
    ends = [(7, JobOutcome(b"x", ran=(1.0, 2.0))), (9, JobOutcome(error="no")), (2**40, JobOutcome())]
    for number, outcome in ends:
        assert process.add(number, outcome)
    assert list(service.read()) == ends
    process.clear()
    assert not list(service.read())


def test_what_has_no_room_leaves_the_rest_as_it_is(sides: tuple[Ledger, Ledger]) -> None:
    process, service = sides
    process.clear()
    half = JobOutcome(bytes(ledger.SIZE // 2))
    assert process.add(1, half)
    assert not process.add(2, half)
    assert process.add(3, JobOutcome(b"small"))
    assert list(service.read()) == [(1, half), (3, JobOutcome(b"small"))]
