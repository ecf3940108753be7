"""The benchmarks' harness on real processes, with tiny sizes; and what it makes of systems that misbehave."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from benchmarks import fronts, processes
from benchmarks.harness import Findings, Harness
from benchmarks.page import all_systems
from benchmarks.peers import System, pool
from benchmarks.works import WORKS, Scale
from tests.waiting import HANGS, LONG

pytestmark = pytest.mark.acceptance

TINY = Scale(
    compute_items=2, brief_items=20, pairs=2, starts=1, memory=2**20, budget=0.02,
    most_jobs=40, most_items=2000, most_arrays=2, samples=3,
    long=0.02, short=0.001, sizes=(100, 1000), growth_limit=LONG, idle=0.2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    with processes.adopting_orphans():
        before = processes.descendants()
        yield
        assert processes.descendants() == before


def test_taskq_and_a_pool_are_measured():
    harness = Harness(all_systems(["taskq", "pool"]), WORKS, TINY, limit=HANGS)
    harness.round()
    harness.once()
    for found in harness.findings.values():
        assert not found.failures
        assert set(found.values) == {work.name for work in WORKS}
        assert all(value > 0 for values in found.values.values() for value in values)
        assert [step.items for step in found.growth] == [100, 1000]
        assert found.idle is not None


def found_of(start: str, *works: str, rounds: int = 1, limit: float = HANGS) -> Findings:
    system = System("some", "Some", start, (), "")
    harness = Harness([system], [work for work in WORKS if work.name in works], TINY, limit)
    for _ in range(rounds):
        harness.round()
    return harness.findings[system]


def test_a_system_that_is_not_installed():
    found = found_of("nosuchmodule:start", "jobs")
    assert found.failures == {"start": "not installed (No module named 'nosuchmodule')"}


def test_a_system_that_hangs_costs_one_measurement():
    found = found_of("tests.acceptance.bench_peers:hangs", "jobs", "latency", rounds=2, limit=5.0)
    assert found.failures == {"jobs": "no answer within 5 s"}
    assert len(found.values["latency"]) == 2


def test_a_system_that_kills_its_caller_costs_one_measurement():
    found = found_of("tests.acceptance.bench_peers:dies", "compute", "latency")
    assert found.failures == {"compute": "ended by itself"}
    assert len(found.values["latency"]) == 1


def test_a_system_that_loses_results_is_not_measured():
    found = found_of("tests.acceptance.bench_peers:loses", "compute")
    assert found.failures == {"compute": "WrongResultError: 1 results of 2 items"}


def test_a_bare_pool_ends_at_once_whatever_this_process_does_with_the_signal():
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with pool.start("") as session:
            handlers = session.map(signal.getsignal, [signal.SIGTERM] * 8, alone=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert handlers == [signal.SIG_DFL] * 8


@pytest.mark.parametrize("name", ["ProcessPoolExecutor", "taskq.Executor"])
def test_fronts_are_measured(name):
    spared = processes.descendants()
    start, stop, call, many, first, search = fronts.in_a_process(name, calls=100)
    processes.kill_all_but(spared)  # multiprocessing's own, which end a little later than what they serve
    assert 0 < call < start
    assert min(stop, many, first) > 0
    assert search is None, "joblib has no backend of these processes"
