"""A lock in Redis: what ``multiprocessing.Manager().Lock()`` is to the processes of one program.

It is redis-py's lock. What is added: its lease is renewed for as long as it is held, so that nobody has to guess
how long that will be; and it may be passed to jobs.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import LockError, RedisError

from taskq.errors import LockLostError, OptionError
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors

LEASE = 30.0  # seconds after which the lock of a holder that died is free
_RENEWALS = 3  # of the lease, within its time
_PACE = 0.05  # seconds between two tries
_FOR_EVER = -1  # as a timeout: threading's word


class Lock(Named):
    """One that at most one holder has, among all programs and jobs of one Redis.

        with queue.lock("ledger"):
            ...

    May be passed to jobs as an argument; there it connects to the worker's server when first used. Whoever holds
    it renews a lease of 30 seconds in a thread. A holder that dies loses it within that time.

    Args:
        key: The Redis key.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.

    Not guaranteed: that nobody else has it while its holder can't reach the server for longer than the lease, or
    if the server comes back as it was some moments before. ``release`` says so then.
    """

    def __init__(self, key: str, connection: Any = None) -> None:
        super().__init__(key, connection)
        self._held: _Held | None = None

    @clear_errors
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for it; returns whether it is held now. It is tried 20 times a second.

        Args:
            blocking: False: return at once.
            timeout: Seconds to wait; None, or -1 as with ``threading``: for ever.

        Raises:
            OptionError: If a timeout is given, and it is not to block or the timeout is another below 0.
            ServerError: If the server can't be reached, or refuses.
        """
        if timeout == _FOR_EVER:
            timeout = None
        if timeout is not None and (not blocking or timeout < 0):
            raise OptionError(f"a timeout is seconds from 0 on, and only of who blocks, not {timeout!r}")
        lock = self.connection.lock(self.key, timeout=LEASE, sleep=_PACE, thread_local=False)
        if not lock.acquire(blocking=blocking, blocking_timeout=timeout):
            return False
        self._held = _Held(lock)
        return True

    @clear_errors
    def release(self) -> None:
        """Let go of it; what has acquired it does that, and nothing else can.

        Raises:
            LockLostError: If this object does not hold it; or did, and somebody else may have had it meanwhile.
            ServerError: If the server can't be reached, or refuses; it is free when the lease is over.
        """
        held, self._held = self._held, None
        if held is None:
            raise LockLostError(f"the lock {self.key} is not held here")
        try:
            held.release()
        except LockError as error:
            raise LockLostError(
                f"the lock {self.key} was lost while it was held: the server could not be reached for {LEASE:g} s "
                "or came back as it was before. Somebody else may have had it"
            ) from error

    @clear_errors
    def locked(self) -> bool:
        """Whether anybody holds it, now."""
        return bool(self.connection.exists(self.key))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, (self.key,)

    def __repr__(self) -> str:
        return f"<taskq.Lock {self.key!r}>"


class _Held:
    """A lock of redis-py's that is held, and whose lease is renewed."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"taskq holds {lock.name}", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._over.wait(LEASE / _RENEWALS):
            with suppress(RedisError, OSError):  # tried again; that it was lost, ``release`` says
                self._lock.reacquire()

    def release(self) -> None:
        self._over.set()
        self._lock.release()
