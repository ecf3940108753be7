"""Waits for jobs while the service has room for one: a thread for each of the first queues, blocked in BLMOVE.

    BLMOVE queue -> taskq:fetched:{worker}:{queue}     waits; of all services that wait, the first one gets the job
    take.lua                                           takes it from there, and begins it

Both go in one packet, so a job has begun a moment after it was pushed, without a word between server and service.
Under load the dispatcher takes jobs by itself, in the order of the queues.

If the reply is lost, nobody knows at first whether a job was begun. Its execution tells: it is on the worker's
list, and its id begins with this wait's ticket (``reconcile``). And should the server have come to
the first half only, the fetcher finds the id in the list when it looks again, at once; or whoever recovers the
service does.

A fetcher that is to end is not cut off from the server, which would go on moving ids for it until it has noticed:
the server is told to let it go on (``CLIENT UNBLOCK``), as if the time of its BLMOVE was over. Its reply says
whether a job came before that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import rq
from redis.exceptions import NoScriptError, RedisError, ResponseError

from taskq.redis import keys
from taskq.redis.lua import Scripts
from taskq_workers.service.core.events import Event, Fetched, Quiet
from taskq_workers.service.jobs import short_path
from taskq_workers.service.rq.worker import RQWorker

log = logging.getLogger(__name__)

BLOCK = 1.0  # seconds of one BLMOVE: how long the gate may be closed before the thread notices
_CLIENT_ID = "CLIENT ID"  # the command's name in redis-py
TIMEOUT = BLOCK + 5.0
"""Seconds a reply may take; until then the dispatcher believes that somebody waits, and does not ask itself."""
QUIET = 0.002
"""Seconds after a job has come in which nobody waits for the next: if it is a short one that came by itself, that
would only hold up its end."""
_PAUSE = 0.5  # seconds until the next try, if the server refuses
_NOT_BLOCKING = 0.02  # seconds to pause if the server (fakeredis) answers an empty BLMOVE at once


class Fetcher(threading.Thread):
    """Takes one job after the other from one queue.

    Args:
        queue: The RQ queue.
        worker: Whose jobs they are. Nothing of it is changed here.
        connection: Used by this thread alone.
        gate: Set while jobs are wanted.
        tickets: See ``State.tickets``.
        post: Called with what was fetched, in this thread.
    """

    def __init__(
        self,
        queue: rq.Queue,
        worker: RQWorker,
        connection: Any,
        gate: threading.Event,
        tickets: set[str],
        post: Callable[[Event], object],
    ) -> None:
        super().__init__(name=f"fetcher-{queue.name}", daemon=True)
        self._queue = queue
        self._worker = worker
        self._connection = connection
        self._scripts = Scripts(connection)
        self._gate = gate
        self._tickets = tickets
        self._post = post
        self._stopped = threading.Event()
        self._look = False  # the list may hold something: look, whether jobs are wanted or not
        self._client: int | None = None  # number of the connection that waits, or did last
        self._is_told = True  # whether the server tells that number, and lets a wait be ended by it
        connection.set_response_callback(_CLIENT_ID, self._heard)

    def run(self) -> None:
        while not self._stopped.is_set():
            if (self._look or self._gate.wait(BLOCK)) and not self._stopped.is_set():
                self._fetch()

    def _heard(self, number: Any, **_options: Any) -> Any:
        """The server says which of its connections waits: the first reply of a packet, while the next is due."""
        self._client = number
        return number

    def _fetch(self) -> None:
        ticket, began, look = short_path.new_ticket(), time.monotonic(), self._look
        self._tickets.add(ticket)
        try:
            reply = self._take(ticket)
        except RedisError as error:
            log.warning("can't wait for jobs: %s", error, extra={"action": "fetch_failed"})
            self._look = True
            self._post(Fetched(self._queue, ticket, None))
            self._stopped.wait(_PAUSE)
            return
        if reply:
            self._gate.clear()  # one at a time: whether there is room for another is not ours to say
            self._post(Fetched(self._queue, ticket, reply))
            if not self._gate.wait(QUIET):
                self._post(Quiet())
            return
        self._tickets.discard(ticket)
        if not look and time.monotonic() - began < BLOCK / 2:
            self._stopped.wait(_NOT_BLOCKING)

    def _take(self, ticket: str) -> Any:
        key = keys.fetched(self._worker.name, self._queue.name)
        asks = self._is_told and not self._look
        with self._connection.pipeline(transaction=False) as pipe:
            if asks:
                pipe.client_id()
            if not self._look:
                pipe.blmove(self._queue.key, key, BLOCK)
            short_path.queue_take(pipe, self._scripts, self._worker, [self._queue], ticket, maps=0, fetched=True)
            *moved, reply = pipe.execute(raise_on_error=False)
        self._look = False
        number, *moved = moved if asks else [None, *moved]
        if isinstance(number, ResponseError):
            self._is_told, self._client = False, None
        if isinstance(reply, NoScriptError):  # the server was restarted; nothing was begun
            self._scripts.take.load()
            self._look = True
            return []
        for one in (reply, *moved):
            if isinstance(one, Exception):
                raise one
        return reply

    def stop(self) -> None:
        """Ask it to end; it does so within ``BLOCK`` seconds, and may still report a job until then."""
        self._stopped.set()

    def wake(self, connection: Any) -> None:
        """Have the server end its wait, after ``stop``; to be said again if it had not begun that yet.

        Args:
            connection: The caller's.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached; not if it refuses.
        """
        client = self._client
        if client is None or not self._is_told or not self.is_alive():
            return
        try:
            connection.client_unblock(client)
        except ResponseError:  # administrators forbid it: the wait is over within ``BLOCK`` seconds
            self._is_told = False
