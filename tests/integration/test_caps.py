"""How services run maps of which not too much may run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskq import DamagedError, Queue
from taskq.payload import signing
from taskq.redis.urls import url_of
from taskq.testing import drain, running_worker
from taskq_workers.cli import cli, exits
from taskq_workers.dashboard import maps
from tests import jobs
from tests.chaos import caps
from tests.waiting import HANGS, wait_until


def test_no_more_run_at_once_on_all_services_together(real_queue: Queue, tmp_path: Path) -> None:
    with running_worker(real_queue) as one, running_worker(real_queue) as other:
        job = real_queue.map(partial(caps.held, str(tmp_path)), range(24), chunksize=1, max_running=caps.AT_ONCE)
        wait_until(lambda: job.store.info().done > 2)
        assert real_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9], "others have what it leaves free"
        assert job.get(timeout=HANGS) == list(range(24))
        assert not (tmp_path / "too-many").exists()
        assert not one.failing
        assert not other.failing


def test_who_has_nothing_to_do_meanwhile_does_nothing(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        job = fake_queue.map(jobs.square, range(4), rate="2/h")
        wait_until(lambda: job.progress.done == 2)
        wait_until(lambda: not any(run.in_hand or run.ended for run in state.maps))
        looks = state.looks
        wait_until(lambda: state.looks > looks + 1)
        assert state.looks < looks + 9
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        job.limit(rate="1000/s")
        assert job.get(timeout=HANGS) == [0, 1, 4, 9]


@pytest.mark.parametrize("worker", ["service", "stock"])
def test_it_goes_on_when_the_time_has_come(fake_queue: Queue, tmp_path: Path, worker: str) -> None:
    paced = partial(caps.paced, str(tmp_path))
    if worker == "stock":
        job = fake_queue.map(paced, range(5), rate="3/s")
        drain(fake_queue)
        assert job.get(timeout=HANGS) == list(range(5))
    else:
        with running_worker(fake_queue, processes=1):
            fake_queue.map(caps.moments, [tmp_path]).wait()  # it has imported the module now
            job = fake_queue.map(paced, range(5), rate="3/s")
            assert job.get(timeout=HANGS) == list(range(5))
    began = caps.moments(tmp_path, "paced")
    assert caps.most_within(began, 1 - caps.LATE) == 3


def test_what_is_too_much_by_a_new_limit_ends_its_item(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(jobs.nap, [0.01] * 60, chunksize=30)
        wait_until(lambda: fake_queue.connection.hlen(job.store.keys.claims) == 2)
        job.limit(rate="1/h")
        wait_until(lambda: fake_queue.connection.hlen(job.store.keys.claims) == 0)
        assert job.progress.done < 60
        job.limit(rate=None, max_running=1)
        assert len(job.get(timeout=HANGS)) == 60


def test_with_a_key_who_has_none_changes_no_limit_of_what_runs(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.VARIABLE, "correct horse battery staple and more")
    queue = Queue(fake_queue.name, connection=fake_queue.connection)
    try:
        with running_worker(queue):
            job = queue.map(jobs.nap, [0.01] * 5000, chunksize=10, max_running=2)
            wait_until(lambda: job.store.info().done > 0)
            job.limit(max_running=1)
            done = job.store.info().done
            wait_until(lambda: job.store.info().done > done, "who has the key may")
            queue.connection.hset(job.store.keys.hash, "max_running", 7)
            wait_until(lambda: job.get_status() == "failed")
            with pytest.raises(DamagedError, match="the limits of"):
                job.get(timeout=HANGS)
    finally:
        signing._in_use.clear()


def test_by_command_and_by_the_page(real_queue: Queue) -> None:
    told, run = {"TASKQ_URL": url_of(real_queue.connection)}, CliRunner()
    pushed = run.invoke(
        cli, ["map", "math:sqrt", "4", "--detach", "--max-running", "2", "--rate", "5/s", "--item-retry", "2",
              "--backoff", "1", "3", "9"], env=told,
    )  # fmt: skip
    map_id = pushed.output.strip()
    shown = run.invoke(cli, ["show", map_id], env=told).output
    assert "max_running: 2" in shown
    assert "rate: 5/s" in shown
    assert "item_retry: 2 times, after 1.0 s, each time 3.0 times as long, 9.0 s at most" in shown
    assert "max_running none, rate" not in shown
    done = run.invoke(cli, ["limit", map_id, "--max-running", "7", "--rate", "none"], env=told)
    assert (done.exit_code, done.stderr) == (exits.OK, f"limited {map_id}: max_running 7\n")
    line = maps.find(real_queue.connection, map_id)
    assert line is not None
    assert line["terms"]["max_running"] == 7
    assert "rate" not in line["terms"]
    for wrong in (["--max-running", "many"], [], ["--rate", "often"], ["--max-running", "0"]):
        assert run.invoke(cli, ["limit", map_id, *wrong], env=told).exit_code != exits.OK
    real_queue.fetch_job(map_id).cancel()
    assert run.invoke(cli, ["limit", map_id, "--rate", "5/s"], env=told).exit_code == exits.ERROR
    assert run.invoke(cli, ["map", "math:sqrt", "4", "--backoff", "1", "3", "9"], env=told).exit_code != exits.OK
