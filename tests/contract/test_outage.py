"""Who waits for a map rides out that the server is away for a while, and no more than that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis

from taskq import MapJob, Queue, ServerError
from taskq.maps import outage
from taskq.testing import drain
from tests import jobs
from tests.waiting import HANGS, wait_until

SQUARES = [0, 1, 4]
BRIEF = 0.1  # seconds
ASKS: dict[str, Callable[[MapJob], Any]] = {
    "get": lambda job: job.get(),
    "get in time": lambda job: job.get(timeout=HANGS),
    "wait": lambda job: job.wait() and job.get(),
    "progress": lambda job: job.get(progress="always"),
    "iteration": sorted,
    "in order": lambda job: list(job.in_order()),
    "as completed": lambda job: sorted(job.as_completed()),
}


@pytest.fixture
def server() -> Any:
    return fakeredis.FakeServer()


@pytest.fixture
def queue(server: Any) -> Iterator[Queue]:
    queue = Queue(connection=fakeredis.FakeRedis(server=server))
    yield queue
    server.connected = True


@pytest.mark.parametrize("ask", ASKS)
def test_it_goes_on_when_the_server_is_back(
    server: Any, queue: Queue, ask: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job, other = queue.map(jobs.square, range(3)), Queue(connection=fakeredis.FakeRedis(server=server))
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(ASKS[ask](job)), daemon=True)
    waiting.start()
    said = ""

    def was_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "can't be reached" in said

    server.connected = False
    wait_until(was_said)
    server.connected = True
    drain(other)
    waiting.join(HANGS)
    assert got == [SQUARES]
    said += capsys.readouterr().err
    assert said.count("can't be reached") == 1
    assert "Waits for it, 30 s at most" in said
    assert ".." not in said
    assert "Is it running" not in said, "that is for the error, if there is one"


@pytest.mark.parametrize("ask", ["get", "wait", "iteration", "in order"])
def test_not_for_ever(server: Any, queue: Queue, ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PATIENCE", BRIEF)
    job = queue.map(jobs.square, range(3))
    server.connected = False
    with pytest.raises(ServerError, match="Is it running") as caught:
        ASKS[ask](job)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_no_longer_than_the_timeout(server: Any, queue: Queue) -> None:
    job = queue.map(jobs.square, range(3))
    server.connected = False
    with pytest.raises(ServerError):
        job.get(timeout=BRIEF)


def test_a_server_that_answers_and_breaks_every_time(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that closes the connection on a reply which is too large for it."""
    monkeypatch.setattr(outage, "PATIENCE", BRIEF)
    job = queue.map(jobs.square, range(3))

    def fail(*_args: Any) -> None:
        raise redis.ConnectionError("Connection closed by server.")

    monkeypatch.setattr(job, "ready", fail)
    with pytest.raises(ServerError, match=r"Connection closed by server\. Is it running"):
        job.get()


class Unsteady:
    """A server, and the time that all know: it is away during some periods."""

    def __init__(self, *away: tuple[float, float]) -> None:
        self.now, self.away = 0.0, away
        self.connection_pool = SimpleNamespace(connection_kwargs={}, connection_class=redis.Connection)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def ping(self) -> None:
        if any(first <= self.now < last for first, last in self.away):
            raise redis.ConnectionError("away")

    def work(self, _left: float | None, until: float = 100.0) -> float:
        while self.now < until:
            self.ping()
            self.now += 0.1
        return self.now


@pytest.mark.parametrize(
    "away", [[(0, 2), (27, 29), (31, 33)], [(0, 29), (36, 65)], [(10, 12), (14, 16)]], ids=str
)
def test_each_outage_is_borne_anew(monkeypatch: pytest.MonkeyPatch, away: list[tuple[float, float]]) -> None:
    """A server that was there for a moment was back, however long ago the last outage was."""
    server = Unsteady(*away)
    monkeypatch.setattr(outage, "time", server)
    assert outage.through_outages(server, None, server.work) >= 100


@pytest.mark.parametrize("away", [[(0, 31)], [(0, 20), (22, 40)]], ids=str)
def test_what_is_borne_has_an_end(monkeypatch: pytest.MonkeyPatch, away: list[tuple[float, float]]) -> None:
    server = Unsteady(*away)
    monkeypatch.setattr(outage, "time", server)
    with pytest.raises(ServerError):
        outage.through_outages(server, None, server.work)
    assert 29 < server.now < 32


@pytest.mark.parametrize(
    "error", [redis.ConnectionError, redis.TimeoutError, ConnectionResetError, OSError, TimeoutError]
)
def test_an_items_own_error_is_none_of_the_servers(any_queue: Queue, error: type[Exception]) -> None:
    job = any_queue.map(jobs.raise_it, [error("of the item")])
    drain(any_queue)
    for ask in (job.get, lambda: list(job)):
        with pytest.raises(error, match="of the item") as caught:
            ask()
        assert not isinstance(caught.value, ServerError)


@pytest.mark.parametrize("read", [lambda job: job.get(), list], ids=["get", "iteration"])
def test_who_has_seen_an_end_that_the_server_has_lost_waits_on(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, read: Callable[[MapJob], list[Any]]
) -> None:
    job, ready, asked = any_queue.map(jobs.square, range(3)), MapJob.ready, []

    def ask(self: MapJob) -> bool:
        asked.append(1)
        if len(asked) == 1:
            return True  # and now the server comes back as it was before
        if len(asked) == 3:
            drain(any_queue)
        return ready(self)

    monkeypatch.setattr(MapJob, "ready", ask)
    assert read(job) == [0, 1, 4]
    assert len(asked) >= 3
