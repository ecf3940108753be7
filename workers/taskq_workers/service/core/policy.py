"""The policy: which source gets the next process that becomes free. No I/O, and no clock of its own.

A *source* is what may ask for processes: the plain jobs of a queue, all together, or one open map.

- Between queues RQ's dequeue strategy holds, for maps and jobs alike.
- Within a queue comes next what has had the least process time, divided by its weight. What runs counts as it goes
  on. Who comes, or comes back, begins with the time that somebody of weight 1 has had who was there all the while
  (the *clock* of the queue), so that nobody makes up for time in which he wanted none.
- One that has just come may go before those whose turn it is, on *credit* of its queue: the next free process is
  its own, however many maps there are, and so are others until it has had 0.05 s. Of several that have just come
  the last ones go first, but those that came within half a second in their order: whoever comes to a hundred maps
  of which nothing has run yet need not wait for these, and who pushes a hundred has them in order.
- Only who goes before another spends credit, and gets it back when it wants more: then it waits itself until the
  others have had as much; who leaves before that has spent what is left. The others earn credit, a second at most,
  with each two seconds that they run: a stream of newcomers gets a third of the time, and nobody waits for ever.

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

TOGETHER = 0.5  # seconds within which who comes is of one batch
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
    fresh: bool  # its source had just come
    on_credit: bool  # and so it went before another

    def over(self, now: float) -> float:
        """Seconds that it has had beyond what was reckoned with."""
        return max(0.0, now - self.began - self.charged)


@dataclass(eq=False)
class _Account:
    """What one source has had."""

    queue: str
    had: float = 0.0  # seconds divided by the weight, and what it began with
    weight: float = 1.0
    came: int = -1  # in which order; -1: it wants nothing, and nothing of it runs
    batch: int = -1  # those of one number came together
    wants: bool = False  # it has something to run, besides what runs
    fresh: bool = False  # it has just come
    used: float = 0.0  # seconds, since then
    owed: float = 0.0  # seconds: what it got before others, on credit that was given back
    tasks: set[Hashable] = field(default_factory=set)  # that run


class Policy:
    """Keeps the accounts of one service's sources, and says what comes next."""

    def __init__(self) -> None:
        self._accounts: dict[Hashable, _Account] = {}
        self._tasks: dict[Hashable, _Task] = {}
        self._clock: dict[str, float] = {}  # queue -> see above
        self._credit: dict[str, float] = {}
        self._batches: dict[str, tuple[int, float]] = {}  # queue -> its last one, and when that began
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
            account.wants = source in offered
            if not (account.wants or account.tasks):
                self._leave(account)
        there = {account.queue for account in self._accounts.values() if account.came >= 0}
        for queue in self._credit.keys() - there:
            del self._credit[queue]  # those before whom others went are gone, too
        for queue in {offer.queue for offer in offered.values()}:
            self._look_at_clock(queue, now)
        for source, offer in offered.items():
            self._come(source, offer, now).wants = True

    def _leave(self, account: _Account) -> None:
        """It wants nothing any more: what others are behind it by its credit, it won't make up for."""
        ahead = (account.had - self._clock.get(account.queue, 0.0)) * account.weight
        self._add_credit(account.queue, -max(0.0, min(account.owed, ahead)))
        account.came, account.fresh, account.owed = -1, False, 0.0

    def _come(self, source: Hashable, offer: Offer, now: float) -> _Account:
        """The account of one that wants something; where it wanted nothing until now, with its place."""
        account = self._accounts.get(source)
        if account is None:
            account = self._accounts[source] = _Account(offer.queue)
        account.weight = offer.weight
        if account.came < 0:
            clock = self._clock.get(offer.queue, 0.0)
            account.fresh, account.used = account.had <= clock, 0.0
            account.had, account.came = max(account.had, clock), next(self._numbers)
            account.batch, began = self._batch_of(offer.queue, now)
            self._batches[offer.queue] = account.batch, began
        return account

    def _batch_of(self, queue: str, now: float) -> tuple[int, float]:
        """The batch of who comes to this queue now, and when it began."""
        number, began = self._batches.get(queue, (0, now))
        return (number, began) if now - began <= TOGETHER else (number + 1, now)

    def _look_at_clock(self, queue: str, now: float) -> None:
        """Keep it among what those have had that want something."""
        accounts = [one for one in self._accounts.values() if one.queue == queue and one.came >= 0]
        clock = self._clock.setdefault(queue, 0.0)
        if accounts:
            had = [self._had(account, now) for account in accounts]
            self._clock[queue] = max(min(had), min(clock, max(had)))

    def begin(self, task: Hashable, offer: Offer, now: float) -> None:
        """A process has been given a task, which no other has the name of, of this source."""
        account = self._come(offer.source, offer, now)
        charge = self._charge(account, offer, now)
        on_credit = account.fresh and self._goes_before_another(account, now)
        self._tasks[task] = _Task(account, now, charge, account.fresh, on_credit)
        account.tasks.add(task)
        account.fresh = False
        self._spend(account, charge, on_credit=on_credit)

    def _goes_before_another(self, account: _Account, now: float) -> bool:
        place = self._had(account, now), account.came
        return any(
            (self._had(one, now), one.came) < place
            for one in self._accounts.values()
            if one.wants and one.queue == account.queue and one is not account
        )

    def end(self, task: Hashable, seconds: float) -> None:
        """It has ended, after so many seconds; 0.0: it did not run. Nothing, if it is not known."""
        one = self._tasks.pop(task, None)
        if one is None:
            return
        account = one.account
        account.tasks.discard(task)
        account.used += seconds
        account.fresh = one.fresh and account.used < UNKNOWN and account.came >= 0
        self._spend(account, seconds - one.charged, on_credit=one.on_credit)
        if one.on_credit and account.wants:
            self._add_credit(account.queue, seconds)
            account.owed += seconds

    def forget(self, source: Hashable) -> None:
        """It is no more."""
        account = self._accounts.pop(source, None)
        if account is not None:
            self._leave(account)
            for task in account.tasks:
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
                    clock, (batch, _began) = self._clock.get(offer.queue, 0.0), self._batch_of(offer.queue, now)
                    lines[offer.queue] = _Line(self._credit_of(offer.queue, now), clock, batch)
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
        self._add_credit(queue, -seconds if on_credit else EARNED * seconds)

    def _add_credit(self, queue: str, seconds: float) -> None:
        self._credit[queue] = min(CREDIT, self._credit.get(queue, CREDIT) + seconds)

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
        batch: Of who comes to the queue now.
    """

    def __init__(self, credit: float, clock: float, batch: int) -> None:
        self._credit = credit
        self._clock = clock
        self._batch = batch
        self._by_time: list[_Standing] = []  # a heap, once it is ready
        self._fresh: list[tuple[int, int, int, _Standing]] = []  # the same ones; the last is the next
        self._gone: set[int] = set()  # places of those that are in one of them, and were taken from the other
        self._is_ready = False
        self._left = 0

    @property
    def empty(self) -> bool:
        return not self._left

    def add(self, offer: Offer, charge: float, account: _Account | None, had: float) -> None:
        """One more source, before any is taken; ``had``: by its account."""
        came, batch, fresh = _LAST, self._batch, had <= self._clock
        if account is not None and account.came >= 0:
            came, batch, fresh = account.came, account.batch, account.fresh
        else:
            had = max(had, self._clock)  # as it will be when it has come
        one = _Standing(had, came, len(self._by_time), offer, charge, offer.tasks)
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

    def _next(self) -> _Standing:
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


class _Standing(NamedTuple):
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

    def after_one(self) -> _Standing:
        """As it is when one more task of it has been taken."""
        had, place = self.had + self.charge / self.offer.weight, min(self.place, ~self.place)
        return self._replace(had=had, place=place, tasks=self.tasks - 1)
