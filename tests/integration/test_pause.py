"""A map that is paused: nothing of it starts, until it goes on."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from taskq import MapError, Queue
from taskq.redis.urls import url_of
from taskq.testing import running_worker
from taskq_workers.cli import cli, exits
from taskq_workers.dashboard import maps
from taskq_workers.dashboard.actions import ACTIONS, ActionError
from tests import jobs
from tests.contract.by_hand import claim
from tests.waiting import HANGS, wait_until


def test_nothing_of_it_is_claimed(any_queue_like: Queue) -> None:
    job = any_queue_like.map(jobs.square, range(4), chunksize=2)
    [held] = claim(job.store)
    job.pause()
    assert claim(job.store) == []
    assert job.store.info().paused
    job.store.release([(held, 0)])
    assert claim(job.store) == []
    job.resume()
    job.resume()
    assert len(claim(job.store, 5)) == 2


@pytest.fixture(params=["fake_queue", "real_queue"])
def any_queue_like(request: pytest.FixtureRequest) -> Queue:
    return request.getfixturevalue(request.param)


def test_what_runs_ends_and_the_rest_goes_on_later(real_queue: Queue) -> None:
    with running_worker(real_queue, processes=2) as state:
        job = real_queue.map(jobs.nap, [0.01] * 400, chunksize=1)
        wait_until(lambda: job.progress.done > 5)
        job.pause()
        wait_until(lambda: not any(run.in_hand or run.ended or run.wounded for run in state.maps))
        wait_until(lambda: real_queue.connection.hlen(job.store.keys.claims) == 0)
        done = job.progress.done
        looks = state.looks
        wait_until(lambda: state.looks > looks + 2)
        assert job.progress.done == done < 400
        other = real_queue.map(jobs.square, [3])
        assert other.get(timeout=HANGS) == [9], "others run"
        job.resume()
        assert len(job.get(timeout=HANGS)) == 400
        with pytest.raises(MapError, match="has ended"):
            job.pause()


def test_by_command_and_by_the_page(real_queue: Queue) -> None:
    job = real_queue.map(jobs.square, range(3))
    told = {"TASKQ_URL": url_of(real_queue.connection)}
    run = CliRunner()
    assert run.invoke(cli, ["pause", job.id], env=told).exit_code == exits.OK
    assert "paused" in run.invoke(cli, ["show", job.id], env=told).output
    line = maps.find(real_queue.connection, job.id)
    assert line is not None
    assert line["paused"] is True
    assert run.invoke(cli, ["resume", job.id], env=told).exit_code == exits.OK
    assert not job.store.info().paused
    ACTIONS["pause"](real_queue.connection, job.id)
    assert job.store.info().paused
    ACTIONS["resume"](real_queue.connection, job.id)
    assert not job.store.info().paused
    job.cancel()
    with pytest.raises(ActionError):
        ACTIONS["pause"](real_queue.connection, job.id)
    assert run.invoke(cli, ["pause", job.id], env=told).exit_code == exits.ERROR
