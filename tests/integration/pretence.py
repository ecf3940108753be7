"""What the tests let Redis and other services seem to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakeredis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import MapJob, Queue
from taskq.redis import services
from taskq.redis.keys import MapField
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo


def announce(queue: Queue, name: str) -> None:
    """Let it seem that another service with this name lives."""
    info = ServiceInfo(name, "host", 1, 1, (queue.name,), "3", 0.0)
    services.renew(Scripts(queue.connection), info, 3600.0)


def owner_of(job: MapJob) -> bytes | None:
    owner: bytes | None = job.connection.hget(job.store.keys.hash, MapField.OWNER)
    return owner


def claim(job: MapJob, worker: str, count: int = 1) -> None:
    assert len(job.store.read_claims(job.store.claim(worker, count), worker).claims) == count


class Deaf(fakeredis.FakeRedis):
    """Hears nothing of what became of one pipeline: the server has run it, but the reply is lost."""

    lose: Callable[[Pipeline], bool] = staticmethod(lambda _pipe: False)

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:
        pipe = super().pipeline(*args, **kwargs)
        execute = pipe.execute

        def deaf(*args: Any, **kwargs: Any) -> Any:
            lost = Deaf.lose(pipe)
            replies = execute(*args, **kwargs)
            if lost:
                Deaf.lose = staticmethod(lambda _pipe: False)
                raise RedisConnectionError("the reply was lost")
            return replies

        pipe.execute = deaf
        return pipe


def deaf(queue: Queue) -> Callable[[], Any]:
    """Makes connections as ``Deaf``, to the queue's own server."""
    return lambda: Deaf(connection_pool=queue.connection.connection_pool)
