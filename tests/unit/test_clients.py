"""Clients of redis-py that would do harm, or hang, are refused before anything is asked of the server."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.sentinel
from redis.cluster import RedisCluster

from taskq import MapJob, OptionError, Queue, ResultList

CLUSTER = object.__new__(RedisCluster)  # its constructor asks the cluster
ASYNC_CLUSTER = object.__new__(redis.asyncio.RedisCluster)
ONE = redis.ConnectionPool(max_connections=1)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (redis.Redis(decode_responses=True), "it decodes what it reads"),
        (fakeredis.FakeRedis(decode_responses=True), "it decodes what it reads"),
        (redis.Redis(legacy_responses=False), "its replies are of another form"),
        (redis.asyncio.Redis(), "it is for asyncio"),
        (fakeredis.FakeAsyncRedis(), "it is for asyncio"),
        (ASYNC_CLUSTER, "it is for asyncio"),
        (CLUSTER, "it is for a cluster"),
        (redis.Redis(connection_pool=ONE), "its pool has one connection"),
        (redis.Redis().pubsub(), "it is no client"),
        (redis.Redis().pipeline(), "it is no client"),
        (redis.ConnectionPool(), "it is no client"),
        ("redis://localhost", "it is no client"),
        (object(), "it is no client of redis-py"),
        (redis.sentinel.Sentinel([("a", 1)]).slave_for("main"), "it is for replicas"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda client: Queue(connection=client), lambda client: ResultList("key", client),
        lambda client: MapJob("id", connection=client).store,
    ],
    ids=["queue", "result list", "map"],
)  # fmt: skip
def test_it_is_refused(client: Any, told: str, use: Any) -> None:
    with pytest.raises(OptionError, match="can't be used") as caught:
        use(client)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "client",
    [
        redis.Redis(), redis.Redis(protocol=3), redis.Redis(single_connection_client=False), fakeredis.FakeRedis(),
        redis.sentinel.Sentinel([("a", 1)]).master_for("main"),
        redis.Redis(connection_pool=redis.BlockingConnectionPool(max_connections=2)),
        redis.Redis(connection_pool=redis.ConnectionPool.from_url("unix:///run/redis.sock")),
    ],
)  # fmt: skip
def test_all_others_can_be_used(client: Any) -> None:
    assert Queue(connection=client).connection is client
