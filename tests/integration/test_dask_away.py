"""The scheduler of a Dask cluster is away: what a service holds is kept for 10 s, and then it is others'."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("distributed") is None:
    pytest.skip("distributed is not installed: pip install 'taskq-pool[dask]'", allow_module_level=True)

from taskq import Queue
from taskq.redis import keys
from taskq.testing import running_worker
from tests import jobs
from tests.dask_stub import ADDRESS, ENGINE, StubCluster, stub
from tests.integration.test_engines import own_pickling, runs_of
from tests.waiting import HANGS, wait_until

__all__ = ["own_pickling"]
ITEMS = 2  # one for each seat


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubCluster]:
    with stub(monkeypatch) as made:
        yield made


def test_claims_are_kept_and_then_handed_back(fake_queue: Queue, cluster: StubCluster, tmp_path: Path) -> None:
    """A service of this host's goes on with them, and nobody is to blame."""
    from taskq_workers.engines import dask

    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue, engine=ENGINE) as state:
        wait_until(lambda: state.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_until, [(str(ledger), n, str(flag)) for n in range(ITEMS)], chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 2, "both run")
        cluster.there = False
        wait_until(lambda: not state.lanes.size)
        with running_worker(fake_queue) as other:
            cluster.now += dask.AWAY
            tries = cluster.tries
            wait_until(lambda: cluster.tries > tries + 20, "it is tried again and again")
            assert {claim.worker for claim in job.store.claims()} == {state.name}
            assert not state.trouble
            cluster.now += 0.1
            wait_until(lambda: {claim.worker for claim in job.store.claims()} == {other.name})
            assert "takes nothing: the Dask scheduler tcp://stub:8786: can't be reached" in state.trouble
            flag.touch()
            assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert len(job.result_list) == ITEMS
    assert not fake_queue.connection.hlen(job.store.keys.deaths)
    assert {entry[b"outcome"] for _id, entry in fake_queue.connection.xrange(keys.TIMELINE)} == {b"ok"}


def test_who_comes_back_sooner_keeps_them(fake_queue: Queue, cluster: StubCluster, tmp_path: Path) -> None:
    """Also if the workers of the new scheduler come later than it does itself."""
    from taskq_workers.engines import dask

    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue, engine=ENGINE) as state:
        wait_until(lambda: state.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_until, [(str(ledger), n, str(flag)) for n in range(ITEMS)], chunksize=1)
        wait_until(lambda: len(list(job.store.claims())) == ITEMS)
        workers, cluster.workers, cluster.there = cluster.workers, {}, False
        wait_until(lambda: not state.lanes.size)
        cluster.now += dask.EMPTY + 2
        looks = cluster.looks
        cluster.there = True
        wait_until(lambda: cluster.looks > looks + 20, "the scheduler is back, and has no worker yet")
        assert not state.trouble
        assert {claim.worker for claim in job.store.claims()} == {state.name}
        cluster.workers = workers
        wait_until(lambda: state.lanes.size == 2)
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]


def test_a_worker_without_a_word_is_given_up(fake_queue: Queue, cluster: StubCluster, tmp_path: Path) -> None:
    """Its host is gone without a FIN: the scheduler hears no more of it, and has not noticed."""
    ledger, flag = tmp_path / "ledger", tmp_path / "flag"
    with running_worker(fake_queue, engine=ENGINE, lease=8) as state:
        wait_until(lambda: state.lanes.size == 2)
        job = fake_queue.starmap(jobs.run_until, [(str(ledger), n, str(flag)) for n in range(ITEMS)], chunksize=1)
        wait_until(lambda: len(runs_of(ledger)) == 2)
        cluster.silent.add(ADDRESS)
        looks = cluster.looks
        wait_until(lambda: cluster.looks > looks + 5)
        assert state.lanes.size == 2
        cluster.now += 8.5
        wait_until(lambda: not state.lanes.size)
        looks = cluster.looks
        wait_until(lambda: cluster.looks > looks + 5)
        assert not state.lanes.size, "it gets seats anew only when it is heard of"
        cluster.silent.clear()
        flag.touch()
        assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert not fake_queue.connection.hlen(job.store.keys.deaths)
