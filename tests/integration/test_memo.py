"""A memo, and attaching, with real pool processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from taskq import Queue, WorkerLostError
from taskq.maps import memo
from taskq.payload import signing
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import HANGS


def held(queue: Queue, name: str) -> set[str]:
    found = memo.find(name, queue.connection)
    assert found is not None
    return {key for key, _entry in found.each()}


def test_what_is_in_it_when_a_process_dies_of_an_item(
    fake_queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks are halved and run again; each item's result is under its key, but of the one that is given up."""
    monkeypatch.setenv(signing.VARIABLE, "secret" * 8)
    queue = Queue(connection=fake_queue.connection)
    with running_worker(queue, processes=2):
        first = queue.map(jobs.die_at_3, range(8), memo="deadly", chunksize=4)
        with pytest.raises(WorkerLostError):
            first.get(timeout=HANGS)
        assert held(queue, "deadly") == {"0", "1", "2", "4", "5", "6", "7"}
        run = partial(jobs.run_once, str(tmp_path / "ledger"), seconds=0)
        for count in (300, 500):
            job = queue.map(run, range(count), memo="runs", key=str, job_id="nightly", if_exists="replace")
            assert job.get(timeout=HANGS) == [n * n for n in range(count)]
        again = queue.map(run, range(500), memo="runs", key=str)
        assert (again.memo_hits, job.memo_hits) == (500, 300)
        assert again.get(timeout=HANGS) == job.get(timeout=HANGS)
    ran = [int(n) for one in tmp_path.glob("ledger.*") for n in one.read_text().split()]
    assert sorted(ran) == list(range(500))
