"""Waits for jobs while the service has nothing to do: one thread for each queue, blocked in BLMOVE.

Under load the dispatcher reserves by itself, in the order of the queues. Only when all queues are empty and
a process is idle does it open the gate, and then the first job to come is the right one whatever its queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import rq
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

BLOCK = 0.5  # seconds of one BLMOVE: how long the gate may be closed before the thread notices
_NOT_BLOCKING = 0.02  # seconds to pause if the server (fakeredis) answers an empty BLMOVE at once


class Fetcher(threading.Thread):
    """Moves job ids from one queue to RQ's intermediate list, and reports them.

    Args:
        queue: The RQ queue.
        connection: Used by this thread alone.
        gate: Set while jobs are wanted.
        on_job: Called with the queue and the job id, in this thread.
    """

    def __init__(
        self, queue: rq.Queue, connection: Any, gate: threading.Event, on_job: Callable[[rq.Queue, str], None]
    ) -> None:
        super().__init__(name=f"fetcher-{queue.name}", daemon=True)
        self._queue = queue
        self._connection = connection
        self._gate = gate
        self._on_job = on_job
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            if not self._gate.wait(BLOCK):
                continue
            began = time.monotonic()
            try:
                job_id = self._connection.blmove(self._queue.key, self._queue.intermediate_queue_key, BLOCK)
            except RedisError as error:
                log.warning("can't wait for jobs: %s", error, extra={"action": "fetch_failed"})
                self._stopped.wait(BLOCK)
                continue
            if job_id:
                self._gate.clear()  # one at a time: whether there is room for another is not ours to say
                self._on_job(self._queue, job_id.decode("utf-8", "replace"))
            elif time.monotonic() - began < BLOCK / 2:
                self._stopped.wait(_NOT_BLOCKING)

    def stop(self) -> None:
        """Ask it to end; it does so within ``BLOCK`` seconds, and may still report a job until then."""
        self._stopped.set()
