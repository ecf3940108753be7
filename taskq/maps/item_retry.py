"""``taskq.Retry``: an item that fails is tried again while its map runs, after a pause.

The numbers are a term of the map (``Spell``), which services and commits go by. The classes of errors travel with
its function and are known to pool processes only, for they are the user's.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from taskq.errors import DamagedError, ItemTimeoutError, OptionError, PickleError, TooLargeError
from taskq.payload import codec

Kinds = type[BaseException] | tuple[type[BaseException], ...]

MOST = 1000  # retries of an item
LONGEST = 30 * 24 * 3600.0  # seconds of a pause

_NEVER = (PickleError, TooLargeError, DamagedError)  # of what came out of an item: it would come out again
_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_SPELL = re.compile(
    rf"(\d+) times, after {_NUMBER} s, each time {_NUMBER} times as long, {_NUMBER} s at most, jitter {_NUMBER}"
    r"(, timeouts too)?, on (.+)",
    re.ASCII,
)


@dataclass(frozen=True)
class Retry:
    """How an item that raises is tried again while its map goes on: ``Queue.map(..., item_retry=Retry(3))``.

    It waits on the server, and holds no process meanwhile. Only when its last try has failed, the item has failed:
    so says its error record, with the number of tries, and only then it counts for ``max_failures``.

    Args:
        max: How many times more, from 1 to 1000.
        backoff: Seconds before the first retry, by how many times each pause is longer than the one before, and
            seconds that none is longer than; or one number: seconds of each pause. From 0 to 30 days; the factor
            is 1 at least, and the longest is no shorter than the first.
        jitter: By which share a pause is shorter or longer, at random, so that not all come back at once; from 0
            to 1.
        on: The class, or classes, of errors after which it is tried again, with their subclasses. One that ran
            longer than ``item_timeout`` has raised ``ItemTimeoutError``.
        not_on: Those of them after which it is not.

    Raises:
        OptionError: If a value is none of these.

    What ends the process is tried again in any case, and counted apart: see ``WorkerLostError``. A result that
    can't be pickled, or is too large, would be the same again, and fails its item at once.
    """

    max: int
    backoff: tuple[float, float, float] | float = (1.0, 2.0, 60.0)
    jitter: float = 0.1
    on: Kinds = Exception
    not_on: Kinds = ()

    def __post_init__(self) -> None:
        if isinstance(self.max, bool) or not isinstance(self.max, int) or not 1 <= self.max <= MOST:
            raise OptionError(f"max of a taskq.Retry must be a whole number from 1 to {MOST}, not {self.max!r}")
        parts = self.backoff if isinstance(self.backoff, tuple) else (self.backoff, 1.0, LONGEST)
        if len(parts) != 3 or not all(_is_number(one, LONGEST) for one in parts):  # noqa: PLR2004 - as it is shown
            raise OptionError(
                "backoff of a taskq.Retry must be seconds, or (seconds of the first pause, factor, seconds at "
                f"most), from 0 to {LONGEST:,.0f}, not {self.backoff!r}"
            )
        if parts[1] < 1 or parts[0] > parts[2]:
            raise OptionError(
                "backoff of a taskq.Retry: no pause is shorter than the one before, so the factor is 1 at least, "
                f"and the seconds at most are no fewer than those of the first; not {self.backoff!r}"
            )
        if not _is_number(self.jitter, 1.0):
            raise OptionError(f"jitter of a taskq.Retry must be a number from 0 to 1, not {self.jitter!r}")
        for name in ("on", "not_on"):
            given = getattr(self, name)
            kinds = given if isinstance(given, tuple) else (given,)
            if not all(isinstance(one, type) and issubclass(one, BaseException) for one in kinds):
                raise OptionError(f"{name} of a taskq.Retry must be a class of errors, or a tuple, not {given!r}")
        if self.on == ():
            raise OptionError("on of a taskq.Retry names no error, so nothing would be tried again")
        if all(issubclass(one, self.not_on) for one in (self.on if isinstance(self.on, tuple) else (self.on,))):
            raise OptionError(
                f"not_on of a taskq.Retry has all errors of on in it, so nothing would be tried again: {self.on!r}"
            )

    @property
    def kinds(self) -> bytes:
        """The classes, pickled.

        Raises:
            PickleError: If one can't be.
        """
        return codec.dumps((self.on, self.not_on), "the errors of item_retry")

    @property
    def spell(self) -> str:
        """The term of the map: see ``Spell.read``."""
        first, factor, longest = self.backoff if isinstance(self.backoff, tuple) else (self.backoff, 1.0, LONGEST)
        on, but = (kinds if isinstance(kinds, tuple) else (kinds,) for kinds in (self.on, self.not_on))
        timeouts = issubclass(ItemTimeoutError, self.on) and not issubclass(ItemTimeoutError, self.not_on)
        return (
            f"{self.max} times, after {float(first)!r} s, each time {float(factor)!r} times as long, "
            f"{float(longest)!r} s at most, jitter {float(self.jitter)!r}{', timeouts too' * timeouts}, "
            f"on {' '.join(kind.__name__ for kind in on)}"
            f"{''.join(f', not on {kind.__name__}' for kind in but)}"
        )


@dataclass(frozen=True)
class Spell:
    """What services know of it.

    Args:
        max: Retries.
        first: Seconds of the first pause.
        factor: By which each is longer than the one before.
        longest: Seconds of any.
        jitter: Share of it.
        timeouts: Whether an item is tried again that ran longer than it may.
    """

    max: int
    first: float
    factor: float
    longest: float
    jitter: float
    timeouts: bool

    @classmethod
    def read(cls, text: str) -> Spell:
        """What the term says.

        Raises:
            ValueError: If it says something else.
        """
        found = _SPELL.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:80]!r} is no item_retry")
        first, factor, longest, jitter = map(float, found.group(2, 3, 4, 5))
        spell = cls(int(found[1]), first, factor, longest, jitter, found[6] is not None)
        right = 1 <= spell.max <= MOST and _is_number(spell.jitter, 1.0)
        if not (right and all(_is_number(one, LONGEST) for one in (spell.first, spell.factor, spell.longest))):
            raise ValueError(f"{text[:80]!r} is no item_retry")
        return spell

    def pause(self, tried: int) -> float:
        """Seconds before an item runs again that has been tried so many times, at random by the jitter."""
        if not self.first:
            return 0.0
        try:
            seconds = self.first * self.factor ** (tried - 1)
        except OverflowError:
            seconds = math.inf
        share = int.from_bytes(os.urandom(4), "big") / 2**31 - 1  # from -1 to 1
        return min(seconds, self.longest) * (1.0 + self.jitter * share)


@dataclass(frozen=True)
class Again:
    """What the process knows that runs a chunk.

    Args:
        max: Retries of each item.
        tried: How many times the items of this chunk have been tried before.
        is_meant: Whether an item is tried again that has raised this.
    """

    max: int
    tried: int
    is_meant: Callable[[BaseException], bool]

    def takes(self, error: BaseException) -> bool:
        """Whether the item that raised this now is to be tried again."""
        return self.tried < self.max and not isinstance(error, _NEVER) and self.is_meant(error)


NEVER = Again(0, 0, lambda _error: False)
"""Of a map whose items are tried once."""


def meant(kinds: bytes | None) -> Callable[[BaseException], bool]:
    """What says of an error whether it is one of these classes, as ``Retry.kinds`` has pickled them.

    Raises:
        DamagedError: If these are none.
        Others: What unpickling a class of the user's raises.
    """
    on, not_on = found = codec.loads(kinds) if kinds else ((), ())
    if not all(isinstance(one, type) for part in found for one in (part if isinstance(part, tuple) else (part,))):
        raise DamagedError("what stands beside the map's function as its errors to try again is none")

    def is_meant(error: BaseException) -> bool:
        return isinstance(error, on) and not isinstance(error, not_on)

    return is_meant


def _is_number(value: object, most: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= most
