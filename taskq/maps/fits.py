"""Whether the server takes what is to be written: to what is too large it hangs up, as if it had gone away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskq.errors import TooLargeError
from taskq.maps.chunk import Chunk
from taskq.redis import limits
from taskq.redis.limits import Limits


class Fits:
    """Asks the server for its limits, once they matter.

    Args:
        connection: Anything redis-py compatible.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._limits: Limits | None = None

    def check(self, what: str, size: int) -> None:
        """See that a value fits.

        Raises:
            TooLargeError: If the server does not take one of this size.
        """
        if size < limits.SMALL:
            return
        self._limits = self._limits or limits.read(self._connection)
        if why := self._limits.refuses(size):
            raise TooLargeError(f"{what} can't be stored: {why}. Send a path or a key instead of the data.")

    def check_chunks(self, chunks: Sequence[Chunk]) -> None:
        """The same of the bodies of some chunks."""
        for chunk in chunks:
            first, last = chunk.range.start, chunk.range.end - 1
            items = f"item {first}" if first == last else f"the chunk of the items {first} to {last}"
            self.check(items, len(chunk.body))
