"""A queue of items in Redis: what ``multiprocessing.Manager().Queue()`` is to the processes of one program."""

from __future__ import annotations

import queue
from typing import Any

from taskq.errors import OptionError
from taskq.payload import codec
from taskq.redis import once, pacing
from taskq.redis.lua import Operation
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors

_LARGE = 1 << 16  # bytes of an item of which no copy is left on the server once it was received


class Fifo(Named):
    """Items that one puts and another gets, first in, first out, for all programs and jobs of one Redis.

        found = queue.queue("found")
        found.put("a")                   # in a job
        found.get(timeout=10)            # here: "a"

    Its methods are those of ``queue.Queue``, but for ``task_done`` and ``join``. An item is got by one, whoever
    asks again as a reply was lost. May be passed to jobs as an argument; there it connects to the worker's server
    when first used.

    Args:
        key: The Redis key. It is there as long as there are items.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).
        maxsize: Items that there may be when this object puts one; 0 or less: any number.

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``; or ``maxsize`` is no number.

    Every access raises ``ServerError`` if the server can't be reached, or refuses. Where there is a secret key,
    items are signed for this queue, and to get one that is not raises ``SignatureError``; it is gone then. An item
    is gone, too, if who has got it dies: what is not to be lost is a job's argument, or a map's item.
    """

    def __init__(self, key: str, connection: Any = None, maxsize: int = 0) -> None:
        super().__init__(key, connection)
        if isinstance(maxsize, bool) or not isinstance(maxsize, int):
            raise OptionError(f"maxsize must be a whole number, not {maxsize!r}")
        self.maxsize = maxsize

    @clear_errors
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item at the end.

        Args:
            item: Anything that can be pickled.
            block: Whether to wait while it is full. That is asked up to 20 times a second.
            timeout: Seconds to wait; None: for ever.

        Raises:
            queue.Full: If it still is.
            PickleError: If the item can't be pickled; nothing was added.
            OptionError: If the timeout is below 0.
        """
        receipt, packed = once.Receipt(), codec.at("queued", self.key).dumps(item, "the item")
        args = [packed, max(self.maxsize, 0), receipt.token, once.RECEIPT_TTL]
        put = Operation(self.connection, "fifo_put")
        if not any(put([self.key, receipt.key], args) for _try in _tries(timeout, block=block)):
            raise queue.Full

    @clear_errors
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove the first item, and return it.

        Args:
            block: Whether to wait until there is one. That is asked up to 20 times a second.
            timeout: Seconds to wait; None: for ever.

        Raises:
            queue.Empty: If there still is none.
            OptionError: If the timeout is below 0.
        """
        receipt, take = once.Receipt(), Operation(self.connection, "fifo_get")
        for _try in _tries(timeout, block=block):
            data = take([self.key, receipt.key], [receipt.token, once.RECEIPT_TTL])
            if data is not None:
                if len(data) > _LARGE:
                    self.connection.unlink(receipt.key)
                return codec.at("queued", self.key).loads(data)
        raise queue.Empty

    def put_nowait(self, item: Any) -> None:
        """As ``put`` without waiting."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """As ``get`` without waiting."""
        return self.get(block=False)

    @clear_errors
    def qsize(self) -> int:
        """How many items there are, now."""
        return int(self.connection.llen(self.key))

    def empty(self) -> bool:
        """Whether there is none, now."""
        return not self.qsize()

    def full(self) -> bool:
        """Whether there are ``maxsize``, now."""
        return 0 < self.maxsize <= self.qsize()

    @clear_errors
    def clear(self) -> None:
        """Remove all items, and with them the key."""
        self.connection.delete(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Fifo, (self.key, None, self.maxsize)

    def __repr__(self) -> str:
        return f"<taskq.Fifo {self.key!r}>"


def _tries(timeout: float | None, *, block: bool) -> Any:
    if not block:
        return pacing.tries(0)
    if timeout is not None and timeout < 0:
        raise OptionError(f"a timeout is seconds from 0 on, or None, not {timeout!r}")
    return pacing.tries(timeout)
