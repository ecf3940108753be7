"""Errors of a map, grouped: a thousand items that failed alike are one line with one sample."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from taskq.payload.outcome import ItemFailure

_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)


@dataclass(frozen=True)
class Frame:
    """Where an exception was raised. ``file`` is as the pool process saw it, e.g. ``<stdin>`` for a shell."""

    file: str = ""
    line: int = 0
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" if self.file else ""


@dataclass(frozen=True)
class ErrorGroup:
    """The items that failed with one type of exception at one place.

    Args:
        type: The exception's class name.
        frame: The last frame of the traceback; empty if there is none (``WorkerLostError``).
        count: Items.
        sample: The one with the lowest index; of a ``WorkerLostError``, ``attempts`` is the number of
            processes that it killed.
    """

    type: str
    frame: Frame
    count: int
    sample: ItemFailure


def group_errors(failures: Iterable[ItemFailure]) -> list[ErrorGroup]:
    """Failures by exception type and last frame; the largest group first, then by the sample's index.

    Takes them one at a time, as from ``MapStore.each_failure``: a million failed items need no memory.
    """
    groups: dict[tuple[str, Frame], tuple[int, ItemFailure]] = {}
    for failure in failures:
        key = failure.type, last_frame(failure.traceback)
        count, sample = groups.get(key, (0, failure))
        groups[key] = count + 1, min(sample, failure, key=lambda one: one.index)
    found = [ErrorGroup(*key, count, sample) for key, (count, sample) in groups.items()]
    return sorted(found, key=lambda group: (-group.count, group.sample.index))


def ranked(found: Iterable[tuple[int, ItemFailure]]) -> list[ErrorGroup]:
    """Groups, of which the counts and a sample of each are known, in the order of ``group_errors``."""
    groups = [ErrorGroup(one.type, last_frame(one.traceback), count, one) for count, one in found]
    return sorted(groups, key=lambda group: (-group.count, group.sample.index))


def count(failures: Iterable[ItemFailure]) -> dict[str, tuple[int, int]]:
    """Kind -> how many of these failures are of it, and the lowest index of an item among them."""
    kinds: dict[str, tuple[int, int]] = {}
    for failure in failures:
        name = f"{failure.type} {last_frame(failure.traceback)}"
        kind = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).hexdigest()
        number, first = kinds.get(kind, (0, failure.index))
        kinds[kind] = number + 1, min(first, failure.index)
    return kinds


def last_frame(traceback: str) -> Frame:
    """The last frame that a traceback's text names; an empty one if it names none."""
    found = deque(_FRAME.finditer(traceback), maxlen=1)
    return Frame(found[0]["file"], int(found[0]["line"]), found[0]["function"]) if found else Frame()
