"""Says a transaction once, though redis-py says again whatever it has heard no reply to.

The server may have made it: then jobs that are pushed would stand in their queue twice, and run twice. So each of
these transactions leaves a receipt: a key of this thread's, which holds what was drawn for this transaction. It is
asked for before the transaction is said again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import WatchError

from taskq.redis import keys

RECEIPT_TTL = 600  # seconds; a server that was away for longer, and came back, may be told twice

_own = threading.local()
os.register_at_fork(after_in_child=lambda: vars(_own).clear())  # a child is another one


class Receipt:
    """Shows that one transaction was made."""

    def __init__(self) -> None:
        if not hasattr(_own, "key"):
            _own.key = f"{keys.RECEIPT}{os.urandom(8).hex()}"
        self.key: str = _own.key
        self.token = os.urandom(12).hex()

    def write(self, pipe: Any) -> None:
        """Queue it, within the transaction."""
        pipe.set(self.key, self.token, ex=RECEIPT_TTL)

    def is_(self, found: bytes | None) -> bool:
        """Whether what stands there says so."""
        return found == self.token.encode()

    def is_there(self, connection: Any) -> bool:
        """Whether the transaction was made."""
        return self.is_(connection.get(self.key))


def execute(pipe: Any) -> Receipt:
    """Execute a transaction that watches nothing; again only if the server has not made it. Returns its receipt.

    That is asked in each further try itself, so that a server which is away for longer costs none of them.

    Args:
        pipe: redis-py's pipeline, a transaction.
    """
    receipt = Receipt()
    receipt.write(pipe)
    make, tried = pipe._execute_transaction, False

    def once(connection: Any, *args: Any) -> Any:
        nonlocal tried
        if tried:
            connection.send_command("GET", receipt.key)
            if receipt.is_(connection.read_response()):
                return []
        tried = True
        return make(connection, *args)

    pipe._execute_transaction = once
    pipe.execute()
    return receipt


def transaction(connection: Any, act: Callable[[Any], object], *watched: str) -> None:
    """Make a transaction of what was read under watch.

    Args:
        connection: To Redis.
        act: Is given a pipeline on which it may read until ``multi()`` is called, and then writes. It is called
            again if what it has read was changed meanwhile, and not if only the reply was lost.
        watched: Keys.
    """
    with connection.pipeline() as pipe:
        while True:
            receipt = Receipt()
            try:
                pipe.watch(*watched)
                act(pipe)
                receipt.write(pipe)
                pipe.execute()
            except WatchError:  # something has just changed; or no reply came
                if not receipt.is_there(connection):
                    continue
            return
