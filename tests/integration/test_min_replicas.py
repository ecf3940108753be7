"""``--min-replicas``: nothing more is taken until replicas have what was committed; here there are none."""

from __future__ import annotations

import pytest

from taskq import OptionError, Queue
from taskq.redis import keys
from taskq.testing import running_worker
from taskq_workers.service.exchange import Exchange
from taskq_workers.settings import Settings
from tests import jobs
from tests.waiting import HANGS, wait_until


def test_nothing_is_taken_without_them(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = False
    replies: list[int] = []

    def waited(exchange: Exchange, reply: int) -> None:
        replies.append(reply)
        told(exchange, 1 if followed else reply)

    told = Exchange._waited
    monkeypatch.setattr(Exchange, "_waited", waited)
    monkeypatch.setattr("taskq_workers.service.exchange._WAIT", 0.01)
    with running_worker(real_queue, processes=2, min_replicas=1) as state:
        # An item for each process, so that all are claimed at once: what comes after a commit waits for a replica.
        assert real_queue.map(jobs.square, range(2), chunksize=1).get(timeout=HANGS) == [0, 1]
        wait_until(lambda: "takes nothing: 0 of 1 replicas have what was committed" in state.trouble)
        later = [real_queue.map(jobs.square, [3]), real_queue.enqueue(jobs.square, 4)]
        turns = len(replies) + 2
        wait_until(lambda: len(replies) > turns, "it has had turns in which it could have taken them")
        wait_until(lambda: b"of 1 replicas" in (real_queue.connection.hget(keys.SERVICES, state.name) or b""))
        assert [job.get_status() for job in later] == ["queued", "queued"]
        followed = True
        assert later[0].get(timeout=HANGS) == [9]
        assert later[1].latest_result(timeout=HANGS).return_value == 16
        wait_until(lambda: not state.trouble)


def test_a_number_below_0_is_refused() -> None:
    with pytest.raises(OptionError, match="min_replicas must be at least 0, not -1"):
        Settings("redis://localhost", min_replicas=-1)
