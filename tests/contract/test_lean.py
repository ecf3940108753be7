"""The connection of a service's thread: always the same, and made anew when it has broken."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq.redis.connection import connect
from taskq_workers.service.rq.lean import LeanPool


def test_one_connection_serves_commands_and_pipelines(server_url: str) -> None:
    with connect(server_url, retries=0, pool=LeanPool) as connection:
        me = connection.client_id()
        with connection.pipeline() as pipe:
            pipe.client_id()
            assert pipe.execute() == [me]
        assert connection.client_id() == me


def test_a_broken_one_fails_its_command_and_no_other(server_url: str) -> None:
    with connect(server_url, retries=0, pool=LeanPool) as connection, connect(server_url) as other:
        me = connection.client_id()
        assert other.client_kill_filter(_id=me) == 1
        with pytest.raises(RedisConnectionError):
            connection.ping()
        assert connection.ping()
        assert connection.client_id() != me


def test_with_one_connection_all_that_rest_are_given_up(server_url: str) -> None:
    with connect(server_url, retries=0, pool=LeanPool) as connection, connect(server_url) as other:
        with connection.pipeline() as pipe:
            pipe.watch("key")
            ids = {pipe.client_id(), connection.client_id()}
        assert len(ids) == 2
        for one in ids:
            other.client_kill_filter(_id=one)
        with pytest.raises(RedisConnectionError):
            connection.ping()
        with connection.pipeline() as pipe:
            pipe.watch("key")
            assert {pipe.client_id(), connection.client_id()}.isdisjoint(ids)


def test_a_server_that_is_not_there_costs_no_place_in_the_pool() -> None:
    with connect("redis://127.0.0.1:1", retries=0, pool=LeanPool) as connection:
        for _ in range(3):
            with pytest.raises(RedisConnectionError):
                connection.ping()
        assert len(connection.connection_pool._available_connections) == 1
