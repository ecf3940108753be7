"""The policy: which source gets the next process that becomes free. No I/O, and no clock of its own.

A *source* is what may ask for processes: the plain jobs of a queue, all together, or one open map.

- Between queues RQ's dequeue strategy holds, for maps and jobs alike.
- Within a queue comes next what has had the least process time, divided by its weight. What runs counts as it goes
  on. Who comes, or comes back, begins with the time that somebody of weight 1 has had who was there all the while
  (the *clock* of the queue), so that nobody makes up for time in which he wanted none.
- One that has just come goes before those, on *credit* of its queue: the next free process is its own, however
  many maps there are, and so are others until it has had 0.05 s. The others earn that credit, a second at most,
  with each two seconds that they run; so a stream of newcomers gets a third of the time on credit, and nobody
  waits for ever.

A process is never left idle while anything is offered. What may not run (suspended, capped) is not offered.
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from taskq_workers.service.core.queue_order import QueueOrder

UNKNOWN = 0.05  # seconds that a task is reckoned with of which nobody knows how long it takes
CREDIT = 1.0  # seconds: what newcomers of a queue may have before the others, at most
EARNED = 0.5  # of each second that the others have
_LAST = sys.maxsize


class Offer(NamedTuple):
    """What a source would have run.

    Args:
        source: Its name, which no other source has.
        queue: Of which it is.
        tasks: How many there are; more than enough, if nobody knows.
        seconds: How long one of them takes, as far as known; 0.0: nothing is known.
        weight: Its share of its queue's time, beside others' shares.
    """

    source: Hashable
    queue: str
    tasks: int
    seconds: float = 0.0
    weight: float = 1.0


@dataclass
class _Task:
    """One that runs."""

    account: _Account
    began: float
    charged: float
    on_credit: bool

    def over(self, now: float) -> float:
        """Seconds that it has had beyond what was reckoned with."""
        return max(0.0, now - self.began - self.charged)


@dataclass(eq=False)
class _Account:
    """What one source has had."""

    queue: str
    had: float = 0.0  # seconds divided by the weight, and what it began with
    weight: float = 1.0
    came: int = -1  # in which order; -1: it wants nothing
    fresh: bool = False  # it has just come
    used: float = 0.0  # seconds, since then
    tasks: set[Hashable] = field(default_factory=set)  # that run


class Policy:
    """Keeps the accounts of one service's sources, and says what comes next."""

    def __init__(self) -> None:
        self._accounts: dict[Hashable, _Account] = {}
        self._tasks: dict[Hashable, _Task] = {}
        self._clock: dict[str, float] = {}  # queue -> see above
        self._credit: dict[str, float] = {}
        self._numbers = itertools.count()

    # -- what happens ----------------------------------------------------------------------------------

    def note(self, offers: Iterable[Offer], now: float) -> None:
        """See who has come and who wants nothing any more; to be called again and again, and before ``upcoming``.

        Args:
            offers: All that there are: who is left out wants nothing, and loses its place if nothing of it runs.
            now: Seconds, on any clock that only goes on.
        """
        offered = {offer.source: offer for offer in offers}
        for source, account in self._accounts.items():
            if source not in offered and not account.tasks:
                account.came, account.fresh = -1, False
        for queue in {offer.queue for offer in offered.values()}:
            self._look_at_clock(queue, now)
        for source, offer in offered.items():
            self._come(source, offer, now)

    def _come(self, source: Hashable, offer: Offer, now: float) -> _Account:
        """The account of one that wants something; where it wanted nothing until now, with its place."""
        account = self._accounts.get(source)
        if account is None:
            account = self._accounts[source] = _Account(offer.queue)
        account.weight = offer.weight
        if account.came < 0:
            clock = self._clock.get(offer.queue, 0.0)
            account.fresh = account.had <= clock and self._credit_of(offer.queue, now) > 0
            account.had, account.came, account.used = max(account.had, clock), next(self._numbers), 0.0
        return account

    def _look_at_clock(self, queue: str, now: float) -> None:
        """Keep it among what those have had that want something; and nobody goes first without credit."""
        accounts = [one for one in self._accounts.values() if one.queue == queue and one.came >= 0]
        clock = self._clock.setdefault(queue, 0.0)
        if accounts:
            had = [self._had(account, now) for account in accounts]
            self._clock[queue] = max(min(had), min(clock, max(had)))
            if self._credit_of(queue, now) <= 0:
                for account in accounts:
                    account.fresh = False

    def begin(self, task: Hashable, offer: Offer, now: float) -> None:
        """A process has been given a task, which no other has the name of, of this source."""
        account = self._come(offer.source, offer, now)
        charge = self._charge(account, offer, now)
        self._tasks[task] = _Task(account, now, charge, account.fresh)
        account.tasks.add(task)
        self._spend(account, charge, on_credit=account.fresh)
        account.fresh = False

    def end(self, task: Hashable, seconds: float) -> None:
        """It has ended, after so many seconds; 0.0: it did not run. Nothing, if it is not known."""
        one = self._tasks.pop(task, None)
        if one is None:
            return
        account = one.account
        account.tasks.discard(task)
        account.used += seconds
        account.fresh = one.on_credit and account.used < UNKNOWN and account.came >= 0
        self._spend(account, seconds - one.charged, on_credit=one.on_credit)

    def forget(self, source: Hashable) -> None:
        """It is no more."""
        account = self._accounts.pop(source, None)
        for task in account.tasks if account else ():
            self._tasks.pop(task, None)

    # -- what comes next -------------------------------------------------------------------------------

    def upcoming(self, offers: Iterable[Offer], order: QueueOrder, now: float) -> Iterator[Offer]:
        """The offers whose tasks are the next ones, one by one, as if each was begun; until none is left.

        Nothing is changed. Who asks may offer what is not there, to hear whether it would come next.
        """
        lines: dict[str, _Line] = {}
        for offer in offers:
            if offer.tasks > 0:
                if offer.queue not in lines:
                    clock = self._clock.get(offer.queue, 0.0)
                    lines[offer.queue] = _Line(self._credit_of(offer.queue, now), clock)
                account = self._accounts.get(offer.source)
                lines[offer.queue].add(offer, self._charge(account, offer, now), account, self._had(account, now))
        order = order.copy()
        while lines:
            name = next((name for name in order if name in lines), None)
            if name is None:
                return  # a queue that is not ours
            yield lines[name].take()
            order.took(name)
            if lines[name].empty:
                del lines[name]

    # -- accounts --------------------------------------------------------------------------------------

    def _charge(self, account: _Account | None, offer: Offer, now: float) -> float:
        """Seconds that one more task is reckoned with: not less than those that run have taken already."""
        seconds = offer.seconds or UNKNOWN
        if account is None or not account.tasks:
            return seconds
        return max(seconds, *(now - self._tasks[task].began for task in account.tasks))

    def _had(self, account: _Account | None, now: float) -> float:
        if account is None:
            return 0.0
        if not account.tasks:
            return account.had
        return account.had + sum(self._tasks[task].over(now) for task in account.tasks) / account.weight

    def _spend(self, account: _Account, seconds: float, *, on_credit: bool) -> None:
        queue = account.queue
        account.had += seconds / account.weight
        weights = sum(one.weight for one in self._accounts.values() if one.queue == queue and one.came >= 0)
        self._clock[queue] = self._clock.get(queue, 0.0) + seconds / (weights or account.weight)
        credit = self._credit.get(queue, CREDIT)
        self._credit[queue] = min(CREDIT, credit - seconds if on_credit else credit + EARNED * seconds)

    def _credit_of(self, queue: str, now: float) -> float:
        credit = self._credit.get(queue, CREDIT)
        for task in self._tasks.values():
            if task.account.queue == queue:
                credit += -task.over(now) if task.on_credit else EARNED * task.over(now)
        return min(CREDIT, credit)


class _Line:
    """The sources of one queue, while it is reckoned what comes next; there may be thousands of them.

    Args:
        credit: Of the queue.
        clock: Of the queue.
    """

    def __init__(self, credit: float, clock: float) -> None:
        self._credit = credit
        self._clock = clock
        # Each: what it has had, in which order it came, its place here; the offer, what a task of it is reckoned
        # with, how many are left.
        self._fresh: list[_Standing] = []
        self._others: list[_Standing] = []  # a heap, once somebody is taken
        self._is_heap = False

    @property
    def empty(self) -> bool:
        return not (self._fresh or self._others)

    def add(self, offer: Offer, charge: float, account: _Account | None, had: float) -> None:
        """One more source, before any is taken; ``had``: by its account."""
        place, came, fresh = len(self._fresh) + len(self._others), _LAST, had <= self._clock
        if account is not None and account.came >= 0:
            came, fresh = account.came, account.fresh
        else:
            had = max(had, self._clock)  # as it will be when it has come
        (self._fresh if fresh else self._others).append((had, came, place, offer, charge, offer.tasks))

    def take(self) -> Offer:
        """The next one's."""
        if not self._is_heap:
            self._is_heap = True
            self._fresh.reverse()  # who came first is taken first
            heapq.heapify(self._others)
        if self._fresh and self._credit > 0:
            one = self._fresh.pop()
            self._credit -= one[4]
        else:
            while self._fresh:
                heapq.heappush(self._others, self._fresh.pop())
            one = heapq.heappop(self._others)
            self._credit = min(CREDIT, self._credit + EARNED * one[4])
        had, came, place, offer, charge, left = one
        if left > 1:
            heapq.heappush(self._others, (had + charge / offer.weight, came, place, offer, charge, left - 1))
        return offer


_Standing = tuple[float, int, int, Offer, float, int]
