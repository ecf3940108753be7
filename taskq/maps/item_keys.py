"""The keys of items, under which the memo holds their results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from taskq.errors import OptionError
from taskq.payload import canonical

LONGEST = 1000  # bytes of a key
_SHOWN = 64  # bytes of a canonical pickle: an item up to there is its own key, as Python writes it


def of(index: int, item: Any, key: Callable[..., str] | None, *, star: bool) -> str:
    """The key of an item.

    Args:
        index: The item's.
        item: What the function is called with.
        key: The user's; None: the item is its own.
        star: Whether both are called as ``fn(*item)``.

    Raises:
        OptionError: If the item is no plain data and there is no ``key``, or what that returns is no key.
        Exception: Whatever ``key`` raises.
    """
    if key is None:  # fn(1, 2) is another call than fn((1, 2))
        return f"*{_own(index, item)}" if star else _own(index, item)
    found = key(*item) if star else key(item)
    if not isinstance(found, str):
        raise OptionError(f"key= must return a text, and returned {found!r:.80} for item {index}")
    try:
        size = len(found.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"key= returned for item {index} what is no Unicode text: {found!r:.80}") from error
    if not 0 < size <= LONGEST:
        raise OptionError(f"key= must return 1 to {LONGEST} bytes, and returned {size:,} for item {index}")
    return found


def _own(index: int, item: Any) -> str:
    if not canonical.is_plain(item):
        raise OptionError(
            f"item {index} ({type(item).__name__}) is no plain data (numbers, texts, bytes, None, and lists, "
            "tuples and dicts of these), so the memo needs a key for it: key=lambda item: item.id"
        )
    data = canonical.dumps(item)
    return ascii(item) if len(data) <= _SHOWN else f"sha256:{hashlib.sha256(data).hexdigest()}"
