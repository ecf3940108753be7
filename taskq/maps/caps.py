"""How much of a map may run: at most so many items at once, and so many that begin within some time.

Both hold for all services together, since the script that hands out ranges judges by what it has handed out
(``redis/lua/room.lua``). At once run as many items as there are claims, for a process runs the items of a range
one after the other; so nothing is counted that could be lost, and whatever ends a claim makes room. Of a map with
a rate each claim is one item, and the server keeps when the last ones were handed out.

What a map was pushed with is a part of what its producer has announced, and signed with that. They change while
the map runs (``MapJob.limit``): who has the secret key, and changes them, signs the new ones beside the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from taskq.errors import OptionError
from taskq.payload import codec
from taskq.payload.ranges import COUNTABLE

MOST = 10_000  # items of a rate: the server keeps a moment for each
_UNITS = {"s": 1, "m": 60, "h": 3600}  # as in room.lua
_RATE = re.compile(r"([1-9]\d{0,8})/([smh])", re.ASCII)


@dataclass(frozen=True)
class Caps:
    """Of one map.

    Args:
        max_running: Items that may run at once; 0: any number.
        rate: Such as ``"300/m"``; "": none.
    """

    max_running: int = 0
    rate: str = ""

    def __bool__(self) -> bool:
        return bool(self.max_running or self.rate)

    @property
    def text(self) -> str:
        """Both, as ``of_text`` reads them."""
        return f"{self.max_running} {self.rate}"

    @property
    def named(self) -> dict[str, int | str]:
        """Those there are, for people and for JSON."""
        return {name: value for name, value in vars(self).items() if value}

    def is_tighter(self, before: Caps) -> bool:
        """Whether what runs by the earlier ones may be too much by these."""
        fewer = bool(self.max_running) and not 0 < before.max_running <= self.max_running
        return fewer or (bool(self.rate) and not before.rate)


NONE = Caps()


def check_max_running(value: object) -> int:
    """How many items may run at once; 0: any number.

    Raises:
        OptionError: If it is neither None nor a whole number from 1 on.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < COUNTABLE:
        raise OptionError(f"max_running must be a whole number from 1 on, or None, not {value!r}")
    return value


def check_rate(value: object) -> str:
    """How many items may begin within a second, a minute or an hour; "": any number.

    Raises:
        OptionError: If it is neither None nor such a text; or has more than ``MOST`` items.
    """
    if value is None:
        return ""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise OptionError(f'rate must be like "5/s", "300/m" or "1000/h", or None, not {value!r}')
    if int(found[1]) > MOST:
        raise OptionError(f"rate can be {MOST:,} items in its time at most, not {value!r}: name a shorter time")
    return found[0]


def read(max_running: str, rate: str) -> Caps:
    """What the fields of a map's hash say.

    Raises:
        ValueError: If that is none.
    """
    try:
        return Caps(check_max_running(int(max_running) if max_running else None), check_rate(rate or None))
    except OptionError as error:
        raise ValueError(str(error)) from error


def of_text(text: str) -> Caps:
    """What ``Caps.text`` was.

    Raises:
        ValueError: If that is none.
    """
    max_running, _, rate = text.partition(" ")
    return read("" if max_running == "0" else max_running, rate)


def signed(incarnation: str, now: Caps) -> bytes:
    """What is signed of those that were changed."""
    return f"{incarnation} {now.text}".encode()


def seal_codec(job_id: str) -> codec.Codec:
    """For the signature over that."""
    return codec.at("limits", job_id)


def shown(max_running: str, rate: str) -> dict[str, int | str]:
    """Those there are, by the fields of a map's hash, for a view: nothing, if these hold something else."""
    try:
        return read(max_running, rate).named
    except ValueError:
        return {}
