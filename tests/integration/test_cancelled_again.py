"""A map was cancelled, and an item of it runs on: it can still be killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rq.exceptions import InvalidJobOperation

from taskq import MapJob, Queue
from taskq.redis import keys
from taskq.redis.urls import url_of
from taskq.testing import running_worker
from taskq_workers.cli import cli, exits
from taskq_workers.dashboard import actions
from taskq_workers.service.dispatcher import Dispatcher
from tests import jobs
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, wait_until


def _by_hand(job: MapJob[Any]) -> None:
    assert job.cancel(kill=True) == {}


def _by_command(job: MapJob[Any]) -> None:
    told = {"TASKQ_URL": url_of(job.connection)}
    assert CliRunner().invoke(cli, ["cancel", job.id, "--kill"], env=told).exit_code == exits.OK


def _by_page(job: MapJob[Any]) -> None:
    actions.cancel(job.connection, job.id, kill=True)


def _by_deletion(job: MapJob[Any]) -> None:
    job.delete()


WAYS: dict[str, Callable[[MapJob[Any]], None]] = {
    "API": _by_hand, "command": _by_command, "page": _by_page, "deleted": _by_deletion,
}  # fmt: skip


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_what_runs_on_is_killed_when_it_is_asked_for(
    real_queue: Queue, tmp_path: Path, way: str, heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not heard:
        command = Dispatcher._command
        monkeypatch.setattr(
            Dispatcher, "_command",
            lambda self, payload: payload.get("command") == keys.LOOK or command(self, payload),
        )  # fmt: skip
    ledger = tmp_path / "ledger"
    with running_worker(real_queue, processes=1) as state:
        job = real_queue.starmap(jobs.run_until, [(str(ledger), n, str(tmp_path / "no")) for n in range(2)])
        wait_until(lambda: runs_of(ledger))
        job.cancel()
        wait_until(lambda: not state.taken)
        assert not state.lanes.idle, "its item runs on"
        ended = job.connection.hget(job.store.keys.hash, "ended")
        WAYS[way](job)
        assert job.connection.hget(job.store.keys.hash, "ended") in (ended, None), "it had ended before"
        assert real_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9], "the process is free again"
    assert len(runs_of(ledger)) == 1


def test_to_cancel_it_again_without_that_is_refused(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, [1])
    job.cancel()
    with pytest.raises(InvalidJobOperation):
        job.cancel()
    assert job.cancel(kill=True) == {}
    job.cancel(kill=True)
