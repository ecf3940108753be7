"""Waiting for a map gives the connection that it listened on back, clean."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import redis
from redis.client import PubSub

from taskq import Queue
from taskq.maps.waiting import Events
from taskq.redis.keys import MapKeys

KEYS = MapKeys("some")


def logins(queue: Queue) -> int:
    return int(queue.connection.info("stats")["total_connections_received"])


def test_nobody_logs_in_again(real_queue: Queue) -> None:
    with Events(real_queue.connection, KEYS):
        pass
    before = logins(real_queue)
    for _ in range(3):
        with Events(real_queue.connection, KEYS):
            pass
    assert logins(real_queue) == before


def test_the_connection_hears_of_nothing_any_more(any_queue: Queue) -> None:
    with Events(any_queue.connection, KEYS) as events:
        any_queue.connection.publish(KEYS.end, "end")
        assert events.next()
        assert events.told_end
        any_queue.connection.publish(KEYS.events, "progress")  # comes as it leaves
    assert any_queue.connection.publish(KEYS.end, "end") == 0
    assert any_queue.connection.ping()
    assert any_queue.connection.pubsub_channels() == []


def test_one_that_breaks_as_it_is_given_back_is_closed(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, Events(real_queue.connection, KEYS):
        broken.setattr(PubSub, "unsubscribe", Mock(side_effect=redis.ConnectionError))
    assert real_queue.connection.pubsub_channels() == []


def test_one_that_is_left_by_an_error_is_closed(real_queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError), Events(real_queue.connection, KEYS):
        raise ZeroDivisionError
    assert real_queue.connection.pubsub_channels() == []
    assert real_queue.connection.ping()
