"""What a map was told, as people and JSON are shown it: `taskq show` and `jobs`, the page, the report.

Each option that is not as it is without being named, under its own name; and beside some of them what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskq.maps import caps, terms
from taskq.maps.info import MapInfo
from taskq.redis import checked
from taskq.redis.keys import MapField

FIELDS = (
    MapField.ITEM_TIMEOUT, MapField.WEIGHT, MapField.MAX_RUNNING, MapField.RATE, MapField.TERMS,
    MapField.MEMO_HITS, MapField.COPIED,
)  # fmt: skip
"""Of a map's hash, those that ``shown`` reads."""


def shown(values: Sequence[bytes | None]) -> dict[str, Any]:
    """By the values of ``FIELDS``, for a view: without what they should not hold.

    Args:
        values: As the server has them; nothing of it was checked.
    """
    item_timeout, weight, max_running, rate, told, hits, copied = values
    return {
        **_times(checked.seconds(item_timeout), checked.seconds(weight)),
        **caps.shown(checked.text(max_running), checked.text(rate)),
        **terms.shown(told, hits, copied),
    }


def of(info: MapInfo) -> dict[str, Any]:
    """The same of a map whose hash was read and checked, but for what came of it."""
    return {**_times(info.item_timeout, info.weight), **info.caps.named, **terms.of_users(info.terms)}


def _times(item_timeout: float, weight: float) -> dict[str, Any]:
    named = {"item_timeout": item_timeout} if item_timeout else {}
    return named | ({"weight": weight} if weight not in (0, 1) else {})
