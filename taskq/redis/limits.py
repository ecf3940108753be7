"""What a server takes at most in one command, and whether it was that on which a command broke.

A server answers what is too large by closing the connection, often before the client has sent all of it. That
looks like a server that has gone away, and would be said again for ever. So who sends much asks before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import DataError, ResponseError

PARTS = MUCH = 1 << 20
"""Bytes, and parts, of a command that any server takes: none can be told to take less."""

SMALL = MUCH - 4096
"""Bytes of a value that any server takes, with a signature and what else is in the same command."""

_VALUE, _REQUEST = "proto-max-bulk-len", "client-query-buffer-limit"
_DEFAULTS = (512 << 20, 1 << 30)
_BESIDE = MUCH - SMALL


@dataclass(frozen=True)
class Limits:
    """Those of one server.

    Args:
        value: Bytes of one value.
        request: Bytes of one command.
    """

    value: int = _DEFAULTS[0]
    request: int = _DEFAULTS[1]

    def broken_by(self, sizes: Sequence[int]) -> str:
        """Which limit a command with parts of these sizes is over, for people; "" if none is."""
        largest, whole = max(sizes, default=0), sum(sizes)
        if largest > self.value:
            return f"{largest:,} bytes in one value, over the server's limit of {self.value:,} ({_VALUE})"
        if whole > self.request - _BESIDE:
            return f"{whole:,} bytes in one command, over the server's limit of {self.request:,} ({_REQUEST})"
        return ""

    def refuses(self, size: int) -> str:
        """As ``broken_by``, of a command with one large value, of this size."""
        return self.broken_by([size + _BESIDE]) if size > SMALL else ""

    @property
    def unusual(self) -> bool:
        """Whether they are not those of a server as it comes."""
        return (self.value, self.request) != _DEFAULTS

    @property
    def together(self) -> int:
        """Bytes of values that fit into one command, if the last of them may be as large as one can be."""
        return max(MUCH, min(self.request // 4, self.request - self.value - MUCH))


USUAL = Limits()


def read(connection: Any) -> Limits:
    """Ask the server.

    One that does not let itself be asked is taken for one as it comes.

    Raises:
        redis.exceptions.RedisError: If it can't be reached.
    """
    try:
        value, request = (int(connection.config_get(name)[name]) for name in (_VALUE, _REQUEST))
    except (ResponseError, KeyError, ValueError, TypeError):
        return USUAL
    return Limits(value, request)


def is_much(sizes: Sequence[int]) -> bool:
    """Whether a command with parts of these sizes is so large that there are servers which would not take it."""
    return len(sizes) > MUCH or sum(sizes) > MUCH


def size_of(part: Any) -> int:
    """Bytes of a part of a command, at least."""
    return len(part) if isinstance(part, (bytes, str, memoryview, bytearray)) else 0


def says_refusal(error: BaseException) -> bool:
    """Whether the client library, or the server, would not take a command as it is, and never will."""
    return isinstance(error, DataError) or (isinstance(error, ResponseError) and "Protocol error" in str(error))
