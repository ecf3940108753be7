"""Workers that several tests of the fronts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskq import Queue
from taskq.redis.connection import connect
from taskq.testing import running_worker


@contextmanager
def working_queue(url: str, name: str) -> Iterator[Queue]:
    """A queue of this name on a real server, with two pool processes."""
    connection = connect(url)
    connection.flushdb()
    queue = Queue(name, connection=connection)
    with running_worker(queue, processes=2):
        yield queue
    connection.close()


def left(queue: Queue, job_id: str = "") -> list[bytes]:
    """What there is of maps, or of this one."""
    return [*queue.connection.keys(f"taskq:{{{job_id}*"), *queue.connection.keys(f"rq:job:{job_id}*")]
