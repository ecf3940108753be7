"""A claim: the right of one worker to run and commit one range, until it is released, committed or taken away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from taskq.errors import DamagedError
from taskq.maps.body import Header, read_header
from taskq.payload.ranges import Range


@dataclass(frozen=True)
class Claim:
    """A range that a worker holds.

    Args:
        range: Its name in Redis.
        token: Drawn for this claim; no other has it.
        deaths: Processes it has killed so far.
        within: The range of the body that it needs.
        worker: Who holds it.
        body: With its items.
    """

    range: Range
    token: str
    deaths: int
    within: Range
    worker: str
    body: bytes = field(default=b"", repr=False)

    @property
    def text(self) -> str:
        """As it stands in Redis."""
        return f"{self.token} {self.deaths} {self.within} {self.worker}"

    @cached_property
    def header(self) -> Header:
        """Of its body.

        Raises:
            DamagedError: If the body has none, or is another range's.
        """
        header = read_header(self.body)
        if header.range != self.within or not header.range.holds(self.range):
            raise DamagedError(f"the body of {self.within} is one of {header.range}, and {self.range} needs it")
        return header

    @cached_property
    def to_do(self) -> Sequence[int]:
        """The items that are to be done."""
        return self.header.within(self.range)

    def beside(self, index: int) -> list[Range]:
        """The ranges before and behind one of its items, as far as there is something to do in them."""
        before = Range(self.range.start, index - self.range.start)
        after = Range(index + 1, self.range.end - index - 1)
        return [one for one in (before, after) if one.count and self.header.within(one)]

    def halves(self) -> tuple[Range, Range]:
        """Two ranges that share its items; there must be at least two to do."""
        items, middle = self.to_do, len(self.to_do) // 2
        return _hull(items[:middle]), _hull(items[middle:])


@dataclass(frozen=True)
class ClaimReply:
    """What came of asking for ranges.

    Args:
        state: Of the map; "" if this incarnation of it is gone.
        pending: Ranges that nobody holds, and that may be claimed now.
        claims: Those that this worker holds now.
        wait: Seconds until one may be claimed, if that is not now, and is known.
        single: Whether a claim is for one item only: of the others of its range, nothing may run.
    """

    state: str
    pending: int
    claims: list[Claim]
    wait: float | None = None
    single: bool = False


def new_token() -> str:
    """What the tokens of one call begin with; no other call has it."""
    return f"{os.urandom(12).hex()}-"


def parse(name: bytes, held: bytes) -> Claim | None:
    """The claim that stands in Redis, without its body; None if it is none."""
    try:
        token, deaths, within, worker = held.decode().split(" ", 3)
        return Claim(Range.parse(name), token, int(deaths), Range.parse(within), worker)
    except (ValueError, DamagedError):
        return None


def _hull(indexes: Sequence[int]) -> Range:
    return Range(indexes[0], indexes[-1] - indexes[0] + 1)
