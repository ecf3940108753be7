"""What users' own tests stand on."""

from __future__ import annotations

import inspect
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import Queue
from taskq.maps import push
from taskq.maps.body import read_header
from taskq.testing import _again, drain, make_fake_queue
from tests import jobs


@pytest.mark.parametrize("name", ["test_in_this_process", "test_on_real_processes", "test_with_a_pool"])
def test_what_docs_testing_md_shows(name: str, fake_queue: Queue) -> None:
    page = (Path(__file__).parents[2] / "docs/testing.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- testing:.*?-->\n```python\n(.*?)```", page, re.DOTALL)
    told: dict[str, Any] = {}
    exec(code, told)  # noqa: S102 - our own page
    assert name in told
    told[name](*[fake_queue] * ("fake_queue" in inspect.signature(told[name]).parameters))


def test_fake_queues_share_nothing() -> None:
    one, other = make_fake_queue(), make_fake_queue()
    one.enqueue(jobs.square, 1)
    assert other.job_ids == []


def test_a_fake_queue_takes_the_options_of_a_queue() -> None:
    queue = make_fake_queue("mine", payload_limit=7)
    assert (queue.name, queue.payload_limit) == ("mine", 7)


def test_drain_runs_all_jobs_in_order(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setitem(jobs.hooks, "call", ran.append)
    any_queue.enqueue(jobs.hooked, 1)
    any_queue.map(jobs.hooked, [2, 3])
    any_queue.enqueue(jobs.hooked, 4)
    drain(any_queue)
    assert ran == [1, 2, 3, 4]
    assert any_queue.job_ids == []


def test_drain_of_an_empty_queue(any_queue: Queue) -> None:
    drain(any_queue)
    assert any_queue.job_ids == []


def test_drain_raises_nothing(any_queue: Queue) -> None:
    failed, fine = any_queue.enqueue(jobs.invert, 0), any_queue.enqueue(jobs.square, 3)
    drain(any_queue)
    assert failed.is_failed
    assert fine.return_value() == 9


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_drain_gives_the_signals_back(any_queue: Queue, signum: signal.Signals) -> None:
    """Ctrl-C must stop the test run afterwards, not RQ's worker, which is gone."""
    original = signal.signal(signum, signal.default_int_handler)
    try:
        drain(any_queue)
        assert signal.getsignal(signum) is signal.default_int_handler
    finally:
        signal.signal(signum, original)


def test_a_worker_says_nothing_twice(real_queue: Queue) -> None:
    """As a real service: claims of which it has not heard would be its own for good."""
    connection = _again(real_queue.connection)
    connection.ping()
    real_queue.connection.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(RedisConnectionError):
        connection.ping()
    assert connection.ping()
    connection.close()


def test_a_stock_worker_cuts_chunks_that_run_long(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "own_cores", lambda: 1)
    job = any_queue.map(jobs.nap, [0.02] * 96)
    assert read_header(any_queue.connection.hget(job.store.keys.bodies, "0:12")).range.count == 12
    drain(any_queue)
    assert job.get() == [0.02] * 96
    assert max(count for _start, count in job.store.spans(0, 10**6)) < 9
