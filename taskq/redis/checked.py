"""Values out of Redis as what they should be: anybody with write access may have put anything there.

A view shows what it can. A number that is none is 0, a text that is none has a replacement character, a key of
another type is as good as empty; and nothing is larger than what can be reckoned with and shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from taskq.redis.keys import UNSEALED
from taskq.redis.patience import says_damage

MOST = 2**53  # that JavaScript, too, can count
LATEST = 1e11  # seconds, or Unix time: the year 5138
LONGEST = 1000  # characters of a text that is shown in a line
RECORD = 1 << 20  # bytes of one record of JSON

T = TypeVar("T")


def text(value: bytes | None, most: int = LONGEST) -> str:
    """A text, cut where it is too long to be shown."""
    return (value or b"")[: 4 * most].decode("utf-8", "replace")[:most]


def count(value: bytes | None) -> int:
    """A whole number from 0 on; 0 if it is none."""
    try:
        number = int((value or b"0")[:32])
    except ValueError:
        return 0
    return number if 0 <= number <= MOST else 0


def items(total: bytes | None, written: bytes | None) -> tuple[int, bool]:
    """How many items a map has, so far; and whether it is sealed, by these fields of its hash."""
    number = count(total)
    return (count(written), False) if number == UNSEALED else (number, True)


def seconds(value: bytes | None) -> float:
    """Seconds, or Unix time; 0.0 if it is none."""
    try:
        number = float((value or b"0")[:64])
    except ValueError:
        return 0.0
    return number if 0 <= number <= LATEST else 0.0


def reply(found: Any, empty: T) -> T:
    """One reply of a pipeline that did not raise: what it is, or ``empty`` where the key holds something else.

    Raises:
        redis.exceptions.RedisError: If the server refuses for another reason.
    """
    if isinstance(found, Exception):
        if not says_damage(found):
            raise found
        return empty
    return empty if found is None else found


def is_a(connection: Any, key: str, kind: str) -> bool:
    """Whether the key holds this kind of value (TYPE's word), or is not there; asked before it is deleted."""
    told = connection.type(key)
    return (told.decode() if isinstance(told, bytes) else told) in (kind, "none")


# -- records ------------------------------------------------------------------------------------------


def record(data: bytes | None) -> dict[str, Any]:
    """A JSON object; an empty one if it is none, or absurdly long."""
    try:
        found = json.loads(data) if data and len(data) <= RECORD else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_text(value: object) -> bool:
    """Whether it is a text which can be written, and shown in a line."""
    if not isinstance(value, str) or len(value) > LONGEST:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON may hold
        return False
    return True


def is_count(value: object, most: float = MOST) -> bool:
    """Whether it is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_seconds(value: object) -> bool:
    """Whether it is a time that can be reckoned with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LATEST


def are(check: Any, values: Iterable[object]) -> bool:
    """Whether all of them pass this check."""
    return all(map(check, values))


def dumps(value: Any) -> str:
    """JSON as all that reads it takes it.

    Raises:
        ValueError: If it holds NaN or an infinity, of which JSON knows nothing.
    """
    return json.dumps(value, allow_nan=False)


def clean(value: str) -> str:
    """A text that can be written: JSON may hold halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode()
