"""The sources of one queue in the order in which they get processes."""

from __future__ import annotations

import heapq
import sys
from typing import NamedTuple

from taskq_workers.service.core.account import UNKNOWN, Account, Offer

CREDIT = 1.0  # seconds: what newcomers of a queue may have before the others, at most
EARNED = 0.5  # of each second that the others have
MOST = 5.0
"""Seconds of credit that one task may cost: nobody knows before how long it runs, and others come meanwhile."""
_LAST = sys.maxsize


class Line:
    """The sources of one queue, while it is reckoned what comes next; there may be thousands of them.

    Args:
        credit: Of the queue.
        clock: Of the queue.
    """

    def __init__(self, credit: float, clock: float) -> None:
        self._credit = credit
        self._clock = clock
        self._by_time: list[Standing] = []  # a heap, once it is ready
        self._fresh: list[tuple[int, int, int, Standing]] = []  # the same ones; the last is the next
        self._gone: set[int] = set()  # places of those that are in one of them, and were taken from the other
        self._is_ready = False
        self._left = 0

    @property
    def empty(self) -> bool:
        return not self._left

    def add(self, offer: Offer, charge: float, account: Account | None, had: float, batch: int) -> None:
        """One more source, before any is taken.

        Args:
            offer: Its own.
            charge: Seconds that a task of it is reckoned with.
            account: Its own, if it has one.
            had: Seconds that it has had by that, what runs included.
            batch: Of which it is, if it comes now.
        """
        came, fresh = _LAST, had <= self._clock
        if account is not None and account.there:
            came, batch, fresh = account.came, account.batch, account.fresh
        elif offer.anew:
            fresh = True
        elif account is not None and not account.is_new(offer):
            came, batch, fresh = account.came, account.batch, fresh and account.used < UNKNOWN
        if account is None or not account.there:
            had = max(had, self._clock)  # as it will be when it has come
        one = Standing(had, came, len(self._by_time), offer, charge, offer.tasks)
        self._left += offer.tasks
        self._by_time.append(one)
        if fresh:
            self._fresh.append((batch, -came, -one.place, one))

    def take(self) -> Offer:
        """The next one's."""
        if not self._is_ready:
            self._is_ready = True
            self._fresh.sort()
            heapq.heapify(self._by_time)
        one = self._next()
        self._left -= 1
        if one.tasks > 1:
            heapq.heappush(self._by_time, one.after_one())
        return one.offer

    def _next(self) -> Standing:
        heap, fresh = self._by_time, self._fresh
        while heap[0].place in self._gone:
            heapq.heappop(heap)
        while fresh and fresh[-1][-1].place in self._gone:
            fresh.pop()
        if fresh and fresh[-1][-1] is not heap[0] and self._credit > 0:
            one = fresh.pop()[-1]
            self._credit -= one.charge
        else:
            one = heapq.heappop(heap)
            self._credit = min(CREDIT, self._credit + EARNED * one.charge)
        if one.place >= 0:
            self._gone.add(one.place)
        return one


class Standing(NamedTuple):
    """A source in the line.

    Args:
        had: Seconds, as in its account.
        came: As in its account.
        place: Its number here; below 0: its first task was taken.
        offer: Its own.
        charge: Seconds that a task of it is reckoned with.
        tasks: How many of it are left.
    """

    had: float
    came: int
    place: int
    offer: Offer
    charge: float
    tasks: int

    def after_one(self) -> Standing:
        """As it is when one more task of it has been taken."""
        had, place = self.had + self.charge / self.offer.weight, min(self.place, ~self.place)
        return self._replace(had=had, place=place, tasks=self.tasks - 1)
