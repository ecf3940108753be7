"""What was refused for reasons of security: counted in Redis, so that ``taskq status`` can show it."""

from __future__ import annotations

from typing import Any

from taskq.errors import ImportRefusedError, SignatureError
from taskq.redis import checked, keys

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
    with connection.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.REFUSED, SIGNATURE, IMPORT)
        [raw] = pipe.execute(raise_on_error=False)
    found = checked.reply(raw, [None, None])
    return dict(zip((SIGNATURE, IMPORT), map(checked.count, found), strict=True)) if any(found) else {}
