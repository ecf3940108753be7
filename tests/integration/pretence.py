"""What the tests let Redis and other services seem to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakeredis
import rq
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import MapJob, Queue
from taskq.maps.rq_jobs import HELP_PATH
from taskq.payload.signed_job import SignedJob
from taskq.redis import keys, services
from taskq.redis.keys import MapField
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo


def announce(queue: Queue, name: str) -> None:
    """Let it seem that another service with this name lives."""
    info = ServiceInfo(name, "host", 1, 1, (queue.name,), "3", 0.0)
    services.renew(Scripts(queue.connection), info, 100.0)


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


class HelperJob(SignedJob):
    """The RQ job by which the owner of a map called for help, of schema 2."""

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_dict(include_meta=include_meta, include_result=include_result)
        fields[keys.JOB_KIND] = " ".join(("helper", *self.args))
        return fields


def call_for_help(queue: Queue, job: MapJob) -> None:
    """As an owner of schema 2 does it, which knows no register; the map's own job is no longer on the queue."""
    queue.connection.delete(queue.key)
    assert job.store.open("owner")
    queue.connection.delete(keys.OPEN + queue.name)
    helper = HelperJob.create(
        HELP_PATH, args=(job.id, job.incarnation), connection=queue.connection, id=f"{job.id}-helper-1",
        origin=queue.name, timeout=-1, result_ttl=0, failure_ttl=60,
    )  # fmt: skip
    queue.connection.hset(job.store.keys.hash, MapField.HELPER, helper.id)
    rq.Queue(queue.name, connection=queue.connection).enqueue_job(helper)
