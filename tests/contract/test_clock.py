"""What hosts compare with each other is written and judged by the server's clock, whatever their own show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taskq import Queue
from taskq.maps.store import MapStore
from taskq.redis import clock, keys, services
from taskq.redis.services import ServiceInfo
from taskq_workers.manager import health
from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.upkeep.sweep import Sweep
from taskq_workers.settings import HOST
from tests import jobs

HOUR = 3600.0


@pytest.fixture(params=[-HOUR, HOUR], ids=["behind", "ahead"])
def off(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def wrong(off: float) -> Iterator[pytest.MonkeyPatch]:
    """This host's clock is wrong; so it is for as long as nobody calls ``undo``."""
    with pytest.MonkeyPatch.context() as patch:
        host = time.time
        patch.setattr(time, "time", lambda: host() + off)
        yield patch


def info(name: str) -> ServiceInfo:
    return ServiceInfo(name, HOST, 1, 1, ("default",), "3", 0.0)


def test_a_map_has_started_when_the_server_says(real_queue: Queue, wrong: pytest.MonkeyPatch) -> None:
    job = real_queue.map(jobs.square, range(4), chunksize=1)
    opened = job.store.open("a")
    assert opened
    assert opened.started == pytest.approx(clock.ask(real_queue.connection), abs=60)
    assert job.progress.rate == 0.0


def test_a_map_that_was_just_pushed_is_left_alone(
    real_queue: Queue, wrong: pytest.MonkeyPatch, off: float
) -> None:
    job = real_queue.map(jobs.square, range(4))
    pushed = real_queue.connection.zscore(keys.MAPS, job.id)
    assert pushed == pytest.approx(clock.ask(real_queue.connection), abs=60)
    real_queue.connection.delete(job.key)
    state: Any = SimpleNamespace(
        connection=real_queue.connection,
        fleet=Fleet(),
        store=lambda map_id, incarnation: MapStore(map_id, real_queue.connection, incarnation=incarnation),
    )
    for _ in range(2):
        Sweep().look(state)
        assert job.store.exists()
        wrong.undo()
    real_queue.connection.zadd(keys.MAPS, {job.id: pushed - 100})
    Sweep().look(state)
    assert not job.store.exists()


@pytest.mark.parametrize("left", [60.0, -60.0])
def test_health(real_queue: Queue, wrong: pytest.MonkeyPatch, left: float) -> None:
    store = real_queue.map(jobs.square, range(4)).store
    services.renew(store.scripts, info("a"), left)
    found = health.look(real_queue.connection, 1)
    assert found.healthy is (left > 0)
    if left < 0:
        assert "has not renewed its lease, which ended 60 s ago" in str(found)
