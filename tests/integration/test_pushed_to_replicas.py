"""``Queue(min_replicas=1)``: a push returns when a replica has what was pushed, and says so if none has."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import redis
from rq import Queue as RQQueue

from taskq import OptionError, Queue, ServerError
from taskq.redis import once, replicas
from tests import jobs
from tests.acceptance.worker import Server
from tests.servers.site import free_port
from tests.waiting import wait_until

HERE = "127.0.0.1"


@dataclass
class Pair:
    """A primary, and its only replica."""

    primary: Server
    replica: Server

    def ask(self, server: Server) -> Any:
        return redis.Redis(unix_socket_path=str(server.path))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    port = free_port()
    made = Pair(*(Server(tmp_path_factory.mktemp(name), *options) for name, options in {
        "primary": ("--port", str(port), "--bind", HERE, "--repl-diskless-sync-delay", "0"),
        "replica": ("--replicaof", HERE, str(port)),
    }.items()))  # fmt: skip
    try:
        made.primary.start()
        made.replica.start()
        with made.ask(made.primary) as asked:
            wait_until(lambda: asked.wait(1, 100) == 1, "the replica follows")
        yield made
    finally:
        made.replica.kill()
        made.primary.kill()


PUSHES: dict[str, Callable[[Queue], Any]] = {
    "map": lambda queue: queue.map(jobs.square, range(100)),
    "open map": lambda queue: queue.open_map(jobs.square),
    "job": lambda queue: queue.enqueue(jobs.square, 1),
    "unique": lambda queue: queue.enqueue(jobs.square, 1, job_id=f"one-{os.urandom(4).hex()}", unique=True),
    "jobs": lambda queue: queue.enqueue_many([RQQueue.prepare_data(jobs.square, [n]) for n in range(3)]),
    "later": lambda queue: queue.enqueue_in(timedelta(hours=1), jobs.square, 1),
}


@pytest.mark.parametrize("push", PUSHES)
def test_what_was_pushed_is_on_the_replica(pair: Pair, push: str) -> None:
    queue = Queue(url=pair.primary.url, min_replicas=1)
    for _ in range(10):
        [*pushed] = made if isinstance(made := PUSHES[push](queue), list) else [made]
        with pair.ask(pair.replica) as replica:
            assert all(replica.exists(job.key) for job in pushed)


@pytest.mark.parametrize("push", PUSHES)
def test_what_no_replica_has_is_said_and_stays(pair: Pair, push: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "USUAL", 0.05)
    queue = Queue("frozen", url=pair.primary.url, min_replicas=1)
    pair.replica.freeze()
    try:
        with pytest.raises(ServerError, match=r"the (map|job) .* was pushed, but 0 of 1 replicas have it"):
            PUSHES[push](queue)
        with pair.ask(pair.primary) as primary:
            assert primary.llen(queue.key) or primary.zcard(queue.scheduled_job_registry.key), "it will run"
            primary.delete(queue.key, queue.scheduled_job_registry.key)
    finally:
        pair.replica.thaw()


def test_a_primary_that_has_not_heard_of_it_is_seen(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server answers by the time that is asked, and its replicas are well."""
    queue = Queue(url=pair.primary.url, min_replicas=1)
    asked = replicas.Replicas._ask

    def fails_over(self: Any, connection: Any, receipt: once.Receipt, seconds: float) -> tuple[bool, int]:
        connection.delete(receipt.key)
        return asked(self, connection, receipt, seconds)

    monkeypatch.setattr(replicas.Replicas, "_ask", fails_over)
    for push in ("map", "job"):
        with pytest.raises(ServerError, match=r"was pushed, and is gone: the server at .* has not heard of it"):
            PUSHES[push](queue)


def test_who_does_not_ask_does_not_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(replicas.Replicas, "_ask")
    Queue(url=pair.primary.url).map(jobs.square, [1])
    Queue("here", url=pair.primary.url, min_replicas=1, is_async=False).enqueue(jobs.square, 1)


def test_options() -> None:
    assert Queue(url="redis://none", min_replicas=2, patience=60).replicas == replicas.Replicas(2, 60)
    assert Queue(url="redis://none", min_replicas=2, patience=None).replicas.seconds == math.inf
    for wrong in (-1, 1.0, True, "1"):
        with pytest.raises(OptionError, match="min_replicas must be a whole number from 0 on"):
            Queue(min_replicas=wrong)  # type: ignore[arg-type]
