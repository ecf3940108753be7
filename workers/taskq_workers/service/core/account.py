"""What the policy keeps of one source."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

UNKNOWN = 0.05  # seconds that a task is reckoned with of which nobody knows how long it takes


class Offer(NamedTuple):
    """What a source would have run.

    Args:
        source: Its name, which no other source has.
        queue: Of which it is.
        tasks: How many there are; more than enough, if nobody knows.
        seconds: How long one of them takes, as far as known; 0.0: nothing is known.
        weight: Its share of its queue's time, beside others' shares.
        anew: Each time that it comes it is another: plain jobs, not a map that is back.
        ahead: Whether some of it may be in hand before a process is free.
    """

    source: Hashable
    queue: str
    tasks: int
    seconds: float = 0.0
    weight: float = 1.0
    anew: bool = False
    ahead: bool = True


@dataclass
class Task:
    """One that runs."""

    account: Account
    began: float
    charged: float
    fresh: bool  # its source had just come
    on_credit: bool  # and so it went before another
    spent: float = 0.0  # seconds of credit, so far

    def over(self, now: float) -> float:
        """Seconds that it has had beyond what was reckoned with."""
        return max(0.0, now - self.began - self.charged)


@dataclass(eq=False)
class Account:
    """What one source has had."""

    queue: str
    had: float = 0.0  # seconds divided by the weight, and what it began with
    weight: float = 1.0
    there: bool = False  # it wants something, or something of it runs; plain jobs: it wants something
    anew: bool = False  # as in its offers
    came: int = -1  # in which order; -1: it has not come yet
    batch: int = -1  # those of one number came together
    wants: bool = False  # it has something to run, besides what runs
    fresh: bool = False  # it has just come
    used: float = 0.0  # seconds, since then
    owed: float = 0.0  # seconds: what it got before others, on credit that was given back
    spent: float = 0.0  # of these what was taken from the credit again, when it left
    jumped: bool = False  # it has gone before another, on credit
    tasks: set[Hashable] = field(default_factory=set)  # that run

    def is_new(self, offer: Offer) -> bool:
        """Whether it is one that has not been there, if it comes now."""
        return offer.anew or self.came < 0
