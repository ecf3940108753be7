"""Waiting for a map inside an item or a job: the process lends its place, so that what is waited for can run.

Whoever runs user code says here how that is done, in its own process; a producer's program lends nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rq.worker.base import BaseWorker

from taskq.errors import NestedWaitError
from taskq.redis import checked, keys
from taskq.redis.urls import url_of


class Lender(Protocol):
    """Who can lend the place of this process."""

    def lend(self) -> object:
        """Something waits from now on; returns by what that is known."""

    def take_back(self, wait: object) -> None:
        """It waits no more; ``wait``: from ``lend``."""

    def counts(self, wait: object) -> bool:
        """Whether this wait, from ``lend``, is still one in whose name the place is lent."""

    @property
    def refused(self) -> str:
        """Why the place can't be lent, for people; "" if it can, or nobody has answered yet."""


class Lending:
    """One wait, which is for what a server runs.

    Args:
        connection: To the server of what is waited for.
        what: That, for people.
    """

    def __init__(self, connection: Any, what: str) -> None:
        self._what = what
        self._lender = _lender_for(connection)
        self._lent = False
        self._wait: object = None  # from the lender

    @property
    def concerned(self) -> bool:
        """Whether the wait is one that lends, and is to look now and then whether it may go on."""
        return self._lender is not None

    def begin(self) -> None:
        """Lend, if nothing has been lent yet.

        Raises:
            NestedWaitError: If that can't be done: what is waited for might never run.
        """
        if self._lender is None:
            return
        if not self._lent:
            self._lent = True
            self._wait = self._lender.lend()
        if why := self._lender.refused:
            raise NestedWaitError(
                f"waiting here for {self._what} might never end: {why}. Give the worker more processes, push what "
                "is waited for to a queue of other workers, or wait for it where the outer work was pushed"
            )

    def renew(self) -> None:
        """Lend again with the next ``begin``, if the task in whose name that was done has ended meanwhile."""
        if self._lent and self._lender is not None and not self._lender.counts(self._wait):
            self._lent = False

    def end(self) -> None:
        """The wait is over."""
        if self._lent and self._lender is not None:
            self._lent = False
            self._lender.take_back(self._wait)


_lender: Lender | None = None
_url = _worker = ""
_thread: int | None = None


@contextmanager
def used(lender: Lender, url: str, worker: str, *, thread: int) -> Iterator[None]:
    """For the length of the block: see ``use``."""
    back = use(lender, url, worker, thread=thread)
    try:
        yield
    finally:
        back()


def use(lender: Lender | None, url: str, worker: str = "", *, thread: int | None = None) -> Callable[[], None]:
    """Lend the place of this process from now on; returns what ends that.

    Args:
        lender: Who can.
        url: The server whose work is run here, from ``url_of``; waits for others lend nothing.
        worker: Name of the worker that runs it, by which that server is known whatever it is called; "": by its
            URL alone.
        thread: The only one whose waits are concerned, from ``threading.get_ident``; None: all of the process.
    """
    global _lender, _url, _worker, _thread
    before = _lender, _url, _worker, _thread
    _lender, _url, _worker, _thread = lender, url, worker, thread

    def back() -> None:
        global _lender, _url, _worker, _thread
        _lender, _url, _worker, _thread = before

    return back


def _lender_for(connection: Any) -> Lender | None:
    if _lender is None or (_thread is not None and _thread != threading.get_ident()):
        return None
    return _lender if url_of(connection) == _url or _is_known(connection) else None


def _is_known(connection: Any) -> bool:
    """Whether the worker is known there: a server has many names (localhost, 127.0.0.1, a socket, an alias)."""
    if not _worker:
        return False
    with connection.pipeline(transaction=False) as pipe:
        pipe.zscore(keys.LEASES, _worker)
        pipe.exists(f"{BaseWorker.redis_worker_namespace_prefix}{_worker}")  # a stock worker has no lease
        lease, exists = pipe.execute(raise_on_error=False)
    return checked.reply(lease, None) is not None or bool(checked.reply(exists, 0))
