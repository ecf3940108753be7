"""``MapJob.reduce``: the results of a map, folded on the workers in groups as they come, and these in turn.

results of the map ── groups of n ──> a map that folds each ── groups ──> ... ── all ──> a map of one item

Each of these is a map whose items are groups of the results of the one before: see ``follow.py``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic

from taskq.errors import OptionError
from taskq.maps import coroutines
from taskq.maps.job import MapJob
from taskq.maps.result_type import R
from taskq.payload.function import Function, display_name
from taskq.redis.keys import UNSEALED
from taskq.views.progress_bar import Show

GROUP = 256
"""Results that are folded together at most, if nobody says how many; of an open map, whose items are not counted
yet, as many."""

_NONE = "no initial value"


class Folded(MapJob[R], Generic[R]):
    """What ``MapJob.reduce`` returns: the job of the map with the one item that is the last fold.

    Who fetches it by its id elsewhere gets a ``MapJob`` with one result.
    """

    def get(self, timeout: float | None = None, progress: Show = False) -> R:  # type: ignore[override]
        """Wait for it, and return it.

        Args:
            timeout: Seconds to wait; None: for ever.
            progress: As of ``MapJob.wait``.

        It raises what ``MapJob.get`` raises: ``SourceFailedError`` if an item has failed, of which it names the
        map, and what was raised.
        """
        [value] = super().get(timeout, progress=progress)
        return value


def fold(fn: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    """What a group is folded to."""
    return functools.reduce(fn, values)


def fold_last(fn: Callable[[Any, Any], Any], initial: Any, values: Sequence[Any]) -> Any:
    """The same of the last, which alone begins with the initial value."""
    return functools.reduce(fn, values, initial)


def prepared(fn: Any, initial: tuple[Any, ...], *, share: bool) -> Function:
    """The function that folds a group, on its way to the workers.

    Args:
        fn: The user's, or its path.
        initial: The initial value, or nothing.
        share: As for ``Function.of``.

    Raises:
        OptionError, PickleError: As ``Function.of``; or if it is known to be a coroutine function.
    """
    inner = Function.of(fn) if isinstance(fn, str) else fn
    Function.of(inner)  # refuses what is none
    if coroutines.expected(inner):
        raise OptionError(
            f"{display_name(inner)} is a coroutine function, which can't fold: nobody awaits what it returns"
        )
    whole = functools.partial(fold_last, inner, *initial) if initial else functools.partial(fold, inner)
    made = Function.of(whole, share=share)
    made.name = inner.name if isinstance(inner, Function) else display_name(inner)
    return made


def sizes(total: int, size: int | None) -> Iterator[int]:
    """How many results are folded together, from one map to the next, before all that are left are.

    Args:
        total: Of the first; ``UNSEALED``: not known.
        size: As the user says.
    """
    known = total != UNSEALED
    each = size or (max(2, min(GROUP, math.isqrt(total))) if known else GROUP)
    left = total if known else each * each
    while left > each:
        yield each
        left = -(-left // each)
