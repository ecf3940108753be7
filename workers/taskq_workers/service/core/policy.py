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
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from taskq_workers.service.core.queue_order import QueueOrder

UNKNOWN = 0.05  # seconds that a task is reckoned with of which nobody knows how long it takes
CREDIT = 1.0  # seconds: what newcomers of a queue may have before the others, at most
EARNED = 0.5  # of each second that the others have
_LAST = sys.maxsize


@dataclass(frozen=True)
class Offer:
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
        """See who has come and who wants nothing any more; to be called before ``upcoming``.

        Args:
            offers: All that there are.
            now: Seconds, on any clock that only goes on.
        """
        offered = {offer.source: offer for offer in offers}
        for source, account in self._accounts.items():
            if source not in offered and not account.tasks:
                account.came, account.fresh = -1, False
        for queue in {offer.queue for offer in offered.values()}:
            self._look_at_clock(queue, now)
        for source, offer in offered.items():
            account = self._account(source, offer)
            if account.came < 0:
                clock = self._clock[offer.queue]
                account.fresh = account.had <= clock and self._credit_of(offer.queue, now) > 0
                account.had, account.came, account.used = max(account.had, clock), next(self._numbers), 0.0

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
        account = self._account(offer.source, offer)
        if account.came < 0:
            account.came = next(self._numbers)
        charge = self._charge(offer, now)
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
                    lines[offer.queue] = _Line(self._credit_of(offer.queue, now))
                lines[offer.queue].add(offer, self._charge(offer, now), *self._standing(offer, now))
        order = order.copy()
        while lines:
            name = next((name for name in order if name in lines), None)
            if name is None:
                return  # a queue that is not ours
            yield lines[name].take()
            order.took(name)
            if lines[name].empty:
                del lines[name]

    def _standing(self, offer: Offer, now: float) -> tuple[float, int, bool]:
        """What its source has had, in which order it came, and whether just now."""
        account = self._accounts.get(offer.source)
        clock = self._clock.get(offer.queue, 0.0)
        if account is None:
            return clock, _LAST, True
        had = self._had(account, now)
        if account.came < 0:
            return max(had, clock), _LAST, had <= clock
        return had, account.came, account.fresh

    def _charge(self, offer: Offer, now: float) -> float:
        """Seconds that one more task is reckoned with: not less than those that run have taken already."""
        account = self._accounts.get(offer.source)
        longest = max((now - self._tasks[task].began for task in account.tasks), default=0.0) if account else 0.0
        return max(offer.seconds or UNKNOWN, longest)

    # -- accounts --------------------------------------------------------------------------------------

    def _account(self, source: Hashable, offer: Offer) -> _Account:
        account = self._accounts.setdefault(source, _Account(offer.queue))
        account.weight = offer.weight
        return account

    def _had(self, account: _Account, now: float) -> float:
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


@dataclass
class _Standing:
    """One source of a queue, while it is reckoned what comes next."""

    offer: Offer
    charge: float
    had: float
    came: int
    left: int


class _Line:
    """The sources of one queue, while it is reckoned what comes next."""

    def __init__(self, credit: float) -> None:
        self._credit = credit
        self._fresh: deque[_Standing] = deque()
        self._others: list[tuple[float, int, int, _Standing]] = []  # a heap
        self._numbers = itertools.count()

    @property
    def empty(self) -> bool:
        return not (self._fresh or self._others)

    def add(self, offer: Offer, charge: float, had: float, came: int, fresh: bool) -> None:
        one = _Standing(offer, charge, had, came, offer.tasks)
        if fresh:
            self._fresh.append(one)
        else:
            self._push(one)

    def _push(self, one: _Standing) -> None:
        heapq.heappush(self._others, (one.had, one.came, next(self._numbers), one))

    def take(self) -> Offer:
        if self._fresh and self._credit > 0:
            one = self._fresh.popleft()
            self._credit -= one.charge
        else:
            while self._fresh:
                self._push(self._fresh.popleft())
            *_, one = heapq.heappop(self._others)
            self._credit = min(CREDIT, self._credit + EARNED * one.charge)
        one.had += one.charge / one.offer.weight
        one.left -= 1
        if one.left:
            self._push(one)
        return one.offer
