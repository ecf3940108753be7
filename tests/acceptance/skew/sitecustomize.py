"""For a process whose PYTHONPATH begins with this folder, the host's clock is off by what stands in the file SKEW.

Seconds; whoever writes another number there sets the clock. The monotonic clock goes on as it did, as it would.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

_FILE = Path(os.environ["SKEW"])
_time, _time_ns, _datetime = time.time, time.time_ns, dt.datetime


def _off() -> float:
    return float(_FILE.read_text() or 0)


class _Kind(type):
    def __instancecheck__(cls, one: object) -> bool:
        return isinstance(one, _datetime)


class _Skewed(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _datetime.now(tz) + dt.timedelta(seconds=_off())

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: _time() + _off()
time.time_ns = lambda: _time_ns() + int(_off() * 1e9)
dt.datetime = _Skewed  # type: ignore[misc]
