"""The keys of RQ's in which a worker keeps books of itself: anybody may have written what is not RQ's there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from rq.executions import Execution

from taskq.redis import checked
from taskq_workers.service.rq.worker import RQWorker

log = logging.getLogger(__name__)

_COUNTS = ("successful_job_count", "failed_job_count", "total_working_time")  # of the worker's hash; RQ's
_COUNT = re.compile(rb"-?\d{1,17}(\.\d{1,20})?")  # to which Redis can add


def mend(worker: RQWorker, executions: Iterable[Execution]) -> bool:
    """Make anew what can't be worked with of this worker's own keys; whether there was something.

    Args:
        worker: Whose.
        executions: That it has.
    """
    connection: Any = worker.connection
    kinds = {worker.key: "hash", worker.executions_key: "set"}
    wrong = [key for key, kind in kinds.items() if not checked.is_a(connection, key, kind)]
    for key in wrong:
        connection.delete(key)
    if worker.key in wrong:
        connection.hset(worker.key, mapping=worker.serialize())
        connection.expire(worker.key, worker.worker_ttl + worker.heartbeat_grace)
    if worker.executions_key in wrong and (members := [one.composite_key for one in executions]):
        connection.sadd(worker.executions_key, *members)
    bad = [] if worker.key in wrong else _bad_counts(connection, worker.key)
    if bad:
        connection.hdel(worker.key, *bad)
    if wrong or bad:
        log.error("%s held what is not RQ's, and was mended", worker.key, extra={"action": "damage"})
    return bool(wrong or bad)


def _bad_counts(connection: Any, key: str) -> list[str]:
    counted: list[Any] = connection.hmget(key, _COUNTS)
    return [name for name, value in zip(_COUNTS, counted, strict=True) if value and not _COUNT.fullmatch(value)]
