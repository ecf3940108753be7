"""A server that refuses writes, without memory or as a replica: nothing is done by half, and all goes on later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from rq.executions import ExecutionRegistry
from rq.job import Job

from taskq import Queue, ServerError
from taskq.maps import outage
from taskq.maps.claim import Claim
from taskq.maps.draft import Draft
from taskq.maps.store import MapStore
from taskq.payload.outcome import ChunkOutcome, Part
from taskq.payload.ranges import Range
from taskq.redis import keys
from taskq.redis.connection import connect
from taskq.redis.keys import MapKeys
from taskq.redis.lua import Scripts
from taskq.redis.server import private_server
from taskq.testing import running_worker
from taskq.views.timeline import TimelineNote
from tests import jobs
from tests.contents import everything
from tests.contract.by_hand import halve
from tests.integration.test_deaths import runs_of
from tests.waiting import HANGS, wait_until

NOTE = TimelineNote("host", "a", 1, 0)
REFUSALS = {"memory": (OutOfMemoryError, "maxmemory"), "replica": (ReadOnlyError, "read-only replica")}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with private_server() as url:
        yield url


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with connect(url) as connection:
        accept(connection)
        connection.flushdb()
        yield Queue(url=url)
        accept(connection)


def refuse(connection: Any, how: str) -> None:
    if how == "memory":
        connection.config_set("maxmemory", 1)
    else:
        connection.replicaof("127.0.0.1", 1)


def accept(connection: Any) -> None:
    connection.config_set("maxmemory", 0)
    connection.replicaof("NO", "ONE")


def give_back(store: MapStore) -> Any:
    queue = Queue(connection=store.connection)
    executions = ExecutionRegistry(store.keys.id, store.connection).key
    return Scripts(store.connection).give_back(
        [queue.key, queue.intermediate_queue_key, Job.key_for(MapKeys(store.keys.id).id), executions],
        [store.keys.id],
    )


def commit(store: MapStore, claim: Claim) -> Any:
    rest = [Part(Range(2, 1))]
    return store.commit(claim, ChunkOutcome([b"x", b"y"], [(0, 2)], [], 1.0, 1.0, rest), NOTE)


OPERATIONS: dict[str, Callable[[MapStore, Claim], Any]] = {
    "claim": lambda store, _claim: store.claim("b", 2),
    "commit": commit,
    "split": lambda store, claim: halve(store, claim, 2),
    "release": lambda store, claim: store.release([(claim, 1)]),
    "release all": lambda store, _claim: store.release_all("a"),
    "open": lambda store, _claim: store.open("b"),
    "give back": lambda store, _claim: give_back(store),
    "begin": lambda store, _claim: Draft("another", store.connection).begin(b"function", {"name": "x"}),
}


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("closed", [False, True])
def test_no_operation_is_done_by_half(queue: Queue, name: str, how: str, closed: bool) -> None:
    store = queue.map(jobs.square, range(12), chunksize=3, job_id="map").store
    assert store.open("a")
    (claim,) = store.read_claims(store.claim("a", 1), "a").claims
    if closed:
        store.close("for now")
    queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    refuse(queue.connection, how)
    before = everything(queue.connection)
    changes_nothing = closed and name in ("claim", "commit", "split", "release", "release all")
    if changes_nothing:
        OPERATIONS[name](store, claim)
    else:
        with pytest.raises(REFUSALS[how][0]):
            OPERATIONS[name](store, claim)
    assert everything(queue.connection) == before
    accept(queue.connection)
    OPERATIONS[name](store, claim)
    assert changes_nothing or everything(queue.connection) != before


@pytest.mark.parametrize("how", REFUSALS)
def test_a_map_goes_on_afterwards(queue: Queue, how: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with running_worker(queue, new_connection=lambda: connect(queue_url(queue), retries=0)) as state:
        job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.02) for n in range(40)], chunksize=1)
        plain = queue.enqueue(jobs.square, 7)
        wait_until(lambda: job.progress.done >= 8)
        refuse(queue.connection, how)
        # What was claimed goes on.
        wait_until(lambda: state.unsure and not any(run.flying or run.ready for run in state.maps))
        accept(queue.connection)
        assert job.get(timeout=HANGS) == [n * n for n in range(40)]
        assert plain.latest_result(timeout=HANGS).return_value == 49  # type: ignore[union-attr]
        assert len(job.result_list) == 40
    assert runs_of(ledger) == list(range(40)), "nothing ran twice, for nobody died"
    assert queue.connection.hlen(job.store.keys.claims) == 0


def queue_url(queue: Queue) -> str:
    return f"unix://{queue.connection.connection_pool.connection_kwargs['path']}"


@pytest.mark.parametrize("how", REFUSALS)
def test_a_producer_gets_a_clear_error(queue: Queue, how: str) -> None:
    refuse(queue.connection, how)
    with pytest.raises(ServerError, match=REFUSALS[how][1]):
        queue.map(jobs.square, range(10))
    with pytest.raises(ServerError, match=REFUSALS[how][1]):
        queue.result_list("x").append(1)
    accept(queue.connection)
    assert queue.connection.keys("*") == []


@pytest.mark.parametrize("how", REFUSALS)
def test_a_producer_may_wait(queue: Queue, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = Queue(url=queue_url(queue), patience=HANGS)
    refuse(queue.connection, how)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if threading.get_ident() != producer:  # what another test has left may be trying again, too
            really_sleep(seconds)
            return
        slept.append(seconds)
        if len(slept) == 3:
            accept(queue.connection)

    producer, really_sleep = threading.get_ident(), time.sleep
    monkeypatch.setattr("redis.retry.sleep", sleep)
    job = patient.map(jobs.square, range(10))
    assert len(slept) == 3
    assert queue.job_ids == [job.id]
    assert queue.connection.zcard(keys.MAPS) == 1


def test_patience_has_an_end(tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/no.sock"
    with pytest.raises(ServerError, match="Is it running"):
        Queue(url=nowhere, patience=0.2).map(jobs.square, [1])
    with pytest.raises(ServerError, match="Is it running"):
        Queue(url=nowhere).map(jobs.square, [1])


def test_waiting_for_results_may_outlast_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(tmp_path))
    with private_server(*options) as url:
        queue = Queue(url=url, patience=HANGS)
        job = queue.map(jobs.square, range(4))
        impatient = Queue(url=url).fetch_job(job.id)
        got: list[Any] = []
        waiting = threading.Thread(target=lambda: got.append(job.get(timeout=HANGS)))
        waiting.start()
        connection = connect(url)
        wait_until(lambda: connection.pubsub_numsub(job.store.keys.end)[0][1] == 1)
        connection.client_kill_filter(_type="pubsub")
        connection.client_kill_filter(_type="normal", skipme=True)
        with running_worker(Queue(url=url)):
            waiting.join(HANGS)
        assert got == [[0, 1, 4, 9]]
        assert impatient.get() == [0, 1, 4, 9]
    monkeypatch.setattr(outage, "PATIENCE", 0.1)
    with pytest.raises(ServerError, match="Is it running"):
        impatient.get()
