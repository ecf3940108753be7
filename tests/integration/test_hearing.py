"""A service hears commands and notes as long as it lives."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from rq.command import send_stop_job_command
from rq.job import JobStatus

from taskq import Queue
from taskq.redis import keys
from taskq.testing import running_worker
from tests import jobs
from tests.waiting import LONG, wait_until


def test_nobody_else_uses_the_connection_once_the_thread_is_there(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who read one connection, while it is made anew, get each other's replies."""
    real, subscribed = redis.client.PubSub.run_in_thread, []

    def run(pubsub: Any, *args: Any, **kwargs: Any) -> Any:
        subscribed.append({*pubsub.channels})
        monkeypatch.setattr(pubsub, "subscribe", None)
        return real(pubsub, *args, **kwargs)

    monkeypatch.setattr(redis.client.PubSub, "run_in_thread", run)
    with running_worker(real_queue, 1) as state:
        channels = {state.worker.pubsub_channel_name.encode(), keys.NOTES.encode()}
    assert subscribed == [channels]


def test_what_it_can_not_read_ends_the_thread_and_not_the_hearing(
    real_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> None:
        raise KeyError(0)

    with running_worker(real_queue, 1) as state:
        first = state.worker.pubsub_thread
        assert first is not None
        monkeypatch.setattr(first, "exception_handler", lambda *_: first.stop())
        monkeypatch.setattr(state.worker.pubsub, "handle_message", unreadable)
        real_queue.connection.publish(keys.NOTES, json.dumps({"command": keys.WORK}))
        wait_until(lambda: state.worker.pubsub_thread is not first)
        job = real_queue.enqueue(jobs.nap, LONG)
        wait_until(lambda: job.get_status() == JobStatus.STARTED)
        send_stop_job_command(real_queue.connection, job.id)
        wait_until(lambda: job.get_status() == JobStatus.STOPPED)
