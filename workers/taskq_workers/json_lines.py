"""Values and failures as lines of JSON."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import math
from typing import Any

from taskq.maps.arrivals import Arrival
from taskq.payload.outcome import ItemFailure
from taskq.views.escaped import escaped_json


def line_of(arrival: Arrival, value: Any) -> str:
    """``{"item": index, "value": ...}`` or ``{"item": index, "error": {"type": ..., "message": ...}}``."""
    if arrival.failure is not None:
        return to_json({"item": arrival.index, "error": error_of(arrival.failure)})
    return to_json({"item": arrival.index, "value": value})


def error_of(failure: ItemFailure) -> dict[str, Any]:
    return {"type": failure.type, "message": failure.message, "attempts": failure.attempts}


def to_json(value: Any) -> str:
    """One line of JSON for any value: what JSON has no form for is its nearest kin, or its ``repr``.

    Tuples and sets are lists, dataclasses objects, dates ISO 8601, bytes base64, arrays nested lists; NaN and
    infinities are null, as JavaScript has it. What a terminal would obey is escaped, which changes no value.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (ValueError, TypeError):  # NaN somewhere; keys that JSON can't have; a value that holds itself
        text = json.dumps(_finite(value, 0), ensure_ascii=False, allow_nan=False, default=repr)
    return escaped_json(text)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset, range)):
        return list(value)
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return value.tolist()
    return repr(value)


_DEEP = 50  # levels; below, a value is its repr


def _finite(value: Any, depth: int) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if depth >= _DEEP:
        return repr(value)
    if isinstance(value, dict):
        return {str(key): _finite(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one, depth + 1) for one in value]
    return _finite(_plain(value), depth + 1)
