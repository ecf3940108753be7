"""Keys and --allow-import in real pool processes."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rq import Callback, Retry, Webhook
from rq.job import UNEVALUATED, Job, JobStatus

import taskq
from taskq import Queue
from taskq.payload import signing
from taskq.payload.signing import Keyring
from taskq.redis import refusals
from taskq.testing import make_fake_queue, running_worker
from taskq_workers.settings import Settings, Trust
from tests import allowed, jobs, rq_jobs
from tests.waiting import HANGS, wait_until

KEY = "a key of at least thirty-two characters"


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(signing.VARIABLE, KEY)
    yield
    signing._in_use.clear()


def why(job: Job) -> str:
    wait_until(lambda: job.get_status() == JobStatus.FAILED)
    latest = job.latest_result()
    assert latest is not None
    return latest.exc_string or ""


@pytest.mark.usefixtures("key")
def test_meta_of_a_job_that_runs_again_is_signed() -> None:
    queue = make_fake_queue()
    with running_worker(queue, processes=1):
        job = queue.enqueue(rq_jobs.count_in_meta, "fail", save=False, meta={"a": 1}, retry=Retry(max=2))
        wait_until(lambda: job.get_status() == JobStatus.FAILED)
        assert job.get_meta() == {"a": 1, "runs": 2}  # RQ, too, saves it for a retry only


@pytest.mark.usefixtures("key")
def test_maps_and_jobs_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make_fake_queue()
    with running_worker(queue):
        monkeypatch.setenv(signing.VARIABLE, f"{KEY[::-1]},{KEY}")  # what pool processes inherit plays no part
        job = queue.map(jobs.invert, [4, 0, 2], meta={"a": 1}, chunksize=3)
        plain = queue.enqueue(jobs.square, 3, meta={"a": 1})
        monkeypatch.setenv(signing.VARIABLE, KEY)
        wait_until(lambda: plain.get_status() == JobStatus.FAILED, "the worker does not know the new key")
        again = queue.map(jobs.invert, [4, 0, 2], meta={"a": 1}, chunksize=3)
        plain = queue.enqueue(jobs.square, 3, meta={"a": 1})
        assert isinstance(again.get(timeout=HANGS, errors="return")[1], ZeroDivisionError)
        assert plain.latest_result(timeout=HANGS).return_value == 9
        assert queue.map(lambda n: -n, [1]).get(timeout=HANGS) == [-1]
        fine = queue.map(jobs.square, [2])
        assert fine.get(timeout=HANGS) == [4]
        wait_until(fine.return_value)
        assert fine.return_value()["done"] == 1
        with pytest.raises(taskq.SignatureError, match="announcement"):
            job.get(timeout=HANGS)
        assert job.get_status() == JobStatus.FAILED
    assert queue.fetch_job(again.id).meta == {"a": 1}
    assert refusals.counted(queue.connection) == {refusals.SIGNATURE: 2, refusals.IMPORT: 0}


@pytest.mark.usefixtures("key")
def test_what_the_service_writes_is_signed() -> None:
    queue = make_fake_queue()
    with running_worker(queue):
        again, fine = queue.enqueue(jobs.ask_again, 1), queue.map(jobs.square, [2])
        wait_until(lambda: len(again.results()) > 1)
        wait_until(fine.return_value)
    kinds = {result.type.name: type(result.return_value).__name__ for result in again.results()}
    assert kinds["RETRIED"] == "Retry"
    assert fine.return_value()["done"] == 1


@pytest.mark.usefixtures("key")
def test_what_is_forged_runs_nothing(tmp_path: Path) -> None:
    queue, crater = make_fake_queue(), tmp_path / "crater"
    bomb = pickle.dumps(Bomb(crater), 5)
    connection = queue.connection
    chunk, function, noted, plain, moved, true, meta, called = (
        *(queue.map(jobs.square, [1], meta={"a": 1}) for _ in range(3)),
        *(queue.enqueue(jobs.square, n, meta={"n": n}) for n in (1, 2, 3, 4)),
        queue.map(jobs.square, [1], on_success=Callback(jobs.remember)),
    )  # fmt: skip
    connection.hset(chunk.store.keys.bodies, "0:1", b"p 0 1 \n" + bomb)
    connection.set(function.store.keys.function, bomb)
    connection.hset(noted.key, "meta", bomb)
    connection.hset(plain.key, "data", bomb)
    connection.hset(moved.key, "data", connection.hget(true.key, "data"))
    connection.hset(meta.key, "meta", bomb)
    connection.hset(called.key, "success_callback_name", "tests.jobs.remember_process")
    stranger = Job.create("tests.jobs.square", (3,), connection=connection, origin=queue.name)
    stranger.save()
    queue.push_job_id(stranger.id)
    with running_worker(queue):
        for job in (chunk, function, noted, plain, moved, meta, called, stranger):
            assert "TASKQ_SECRET_KEY" in why(job)
        assert true.latest_result(timeout=HANGS).return_value == 9
        assert not crater.exists()
        assert connection.get(f"test:callback:{called.id}") is None
        wait_until(lambda: refusals.counted(connection)[refusals.SIGNATURE] >= 6)


def test_only_what_is_allowed(fake_queue: Queue) -> None:
    with running_worker(fake_queue, trust=Trust(allowed=("tests.jobs.*", "__main__.*"))):
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        assert fake_queue.map(lambda n: -n, [3]).get(timeout=HANGS) == [-3]
        assert fake_queue.enqueue(jobs.square, 3).latest_result(timeout=HANGS).return_value == 9
        refused = [
            fake_queue.map(os.getenv, ["HOME"]),
            fake_queue.map("os.getenv", ["HOME"]),
            fake_queue.map(jobs.square, [1], on_success=Callback("os.getenv")),
            fake_queue.enqueue(os.getenv, "HOME"),
            fake_queue.enqueue("os.getenv", "HOME"),
            fake_queue.enqueue(Path("/").exists),
            fake_queue.enqueue(jobs.square, 3, on_success=Callback("os.getenv")),
            fake_queue.enqueue(jobs.invert, 0, on_failure=Callback("os.getenv")),
        ]
        for job in refused:
            assert "may not be called by this worker" in why(job)
    assert refusals.counted(fake_queue.connection)[refusals.IMPORT] == len(refused)


def test_only_what_is_defined_where_it_is_allowed(fake_queue: Queue) -> None:
    with running_worker(fake_queue, trust=Trust(allowed=("tests.allowed.*",))):
        kind = allowed.Kind()
        fine = [fake_queue.enqueue(one, 3) for one in (allowed.square, kind.double, kind, kind.make, kind.free)]
        fine.append(fake_queue.enqueue("tests.allowed.square", 3, on_success=Callback("tests.allowed.tell")))
        assert [job.latest_result(timeout=HANGS).return_value for job in fine] == [9, 6, 9, 12, 15, 9]
        assert fake_queue.map(allowed.square, [3]).get(timeout=HANGS) == [9]
        names = ["os.system", "loads", "square.__getattribute__", "imported", "Kind.bound", "os"]
        refused = [fake_queue.enqueue(f"tests.allowed.{name}", "x") for name in names]
        refused += [fake_queue.map(f"tests.allowed.{name}", ["x"]) for name in names]
        for name in names:
            refused.append(fake_queue.enqueue(allowed.square, 3, on_success=Callback(f"tests.allowed.{name}")))
            refused.append(fake_queue.enqueue(allowed.square, "a", on_failure=Callback(f"tests.allowed.{name}")))
        refused += [fake_queue.enqueue(kind.update, a=1), fake_queue.enqueue(kind.get, "a")]
        refused.append(hidden(fake_queue, allowed.Empty(), "os.getenv"))
        refused.append(hidden(fake_queue, allowed.Empty(), "tests.allowed.os.getenv"))
        refused.append(hidden(fake_queue, allowed.Kind(os.getenv), "held"))
        for job in refused:
            assert "may not be called by this worker" in why(job), job.description


def hidden(queue: Queue, instance: Any, name: str) -> Job:
    """A job that calls by this name, whatever its object has."""
    job = queue.create_job(allowed.square, ("HOME",))
    job._instance, job._func_name, job._data = instance, name, UNEVALUATED
    return queue.enqueue_job(job)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("function", ["tests.jobs.square", "tests.jobs.exit_process"])
def test_nobody_is_called_for_a_job_that_is_not_signed(function: str) -> None:
    queue, called = make_fake_queue(), []

    class Listens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Listens)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    hooks = [Webhook(f"{url}/{status}", status) for status in ("finished", "failed")]
    stranger = Job.create(function, (3,), connection=queue.connection, origin=queue.name, webhooks=hooks)
    stranger.save()
    with running_worker(queue, 1, trust=Trust(private_webhooks=True)):
        queue.push_job_id(stranger.id)
        assert "TASKQ_SECRET_KEY" in why(stranger)
        signed = queue.enqueue(jobs.square, 3, webhooks=[Webhook(f"{url}/signed", "finished")])
        wait_until(lambda: called)
        assert signed.get_status() == JobStatus.FINISHED
    server.shutdown()
    thread.join()
    server.server_close()
    assert called == ["/signed"]


def test_keys_are_not_shown_by_settings() -> None:
    settings = Settings("redis://", trust=Trust(Keyring.parse(KEY)))
    assert KEY not in repr(settings) + repr(settings.trust) + str(settings.trust.keys)
