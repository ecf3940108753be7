"""What was refused for reasons of security: counted in Redis, so that ``taskq status`` can show it."""

from __future__ import annotations

from typing import Any

from taskq.errors import ImportRefusedError, SignatureError
from taskq.redis import keys

SIGNATURE, IMPORT = "signature", "import"


def of(error: BaseException | None) -> str:
    """``SIGNATURE`` or ``IMPORT`` if that is why this error, or one that caused it, was raised; else empty."""
    while error is not None:
        if isinstance(error, SignatureError):
            return SIGNATURE
        if isinstance(error, ImportRefusedError):
            return IMPORT
        error = error.__cause__
    return ""


def count(connection: Any, refusal: str) -> None:
    """Add one to what was refused so far, if this is a refusal."""
    if refusal:
        connection.hincrby(keys.REFUSED, refusal, 1)


def counted(connection: Any) -> dict[str, int]:
    """Kind of refusal -> how many jobs and chunks there were; empty if there was none."""
    raw = connection.hgetall(keys.REFUSED)
    return {kind: int(raw.get(kind.encode(), 0)) for kind in (SIGNATURE, IMPORT)} if raw else {}
