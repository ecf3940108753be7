"""The policy: which source gets the next process that becomes free. No I/O, and no clock of its own.

A *source* is what may ask for processes: the plain jobs of a queue, all together, or one open map.

- Between queues RQ's dequeue strategy holds, for maps and jobs alike.
- Within a queue comes next what has had the least process time, divided by its weight. What runs counts as it goes
  on. Who comes, or comes back, begins with the time that somebody of weight 1 has had who was there all the while
  (the *clock* of the queue), so that nobody makes up for time in which he wanted none.
- One that has just come may go before those whose turn it is, on *credit* of its queue: the next free process is
  its own, however many maps there are, and so are others until it has had 0.05 s. Of several that have just come
  the last ones go first, but maps that came one soon after the other in their order: whoever comes to a hundred
  maps of which nothing has run yet need not wait for these, and who pushes a hundred has them in order.
- Only who goes before another spends credit, and gets it back when it wants more: then it waits itself until the
  others have had as much; who leaves before that has spent what is left. The others earn credit, a second at most,
  with each two seconds that they run: newcomers go before others for a third of the time at most. (But each one is
  a source, too: where many come, everybody's share is small.) Nobody knows before how long a task runs, so one
  costs five seconds of credit at most. Plain jobs are newcomers each time that one comes to none that waits, and
  give nothing back.
- A map that has had less than 0.05 s in its life counts as if it had had that, in the clock and in what credit is
  left, once it is no more: to begin and to end it takes the service's time.

A process is never left idle while anything is offered. What may not run (suspended, capped) is not offered.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator

from taskq_workers.service.core.account import UNKNOWN, Account, Offer, Task
from taskq_workers.service.core.line import CREDIT, EARNED, MOST, Line
from taskq_workers.service.core.queue_order import QueueOrder

_SETTLED = 0.25  # seconds
TOGETHER = 0.5  # seconds after a map within which the next one is of the same batch


class Policy:
    """Keeps the accounts of one service's sources, and says what comes next."""

    def __init__(self) -> None:
        self._accounts: dict[Hashable, Account] = {}
        self._tasks: dict[Hashable, Task] = {}
        self._clock: dict[str, float] = {}  # queue -> see above
        self._credit: dict[str, float] = {}
        self._batches: dict[str, tuple[int, float]] = {}  # queue -> its last one, and when somebody came to that
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
            if account.there and not (account.wants or (account.tasks and not account.anew)):
                self._leave(account)
        there = {account.queue for account in self._accounts.values() if account.there}
        for queue in self._credit.keys() - there:
            del self._credit[queue]  # those before whom others went are gone, too
        self._settle(now)
        for queue in {offer.queue for offer in offered.values()}:
            self._look_at_clock(queue, now)
        for source, offer in offered.items():
            self._come(source, offer, now).wants = True

    def _leave(self, account: Account) -> None:
        """It wants nothing any more: what others are behind it by its credit, it won't make up for."""
        account.spent, account.owed = self._ahead(account), 0.0
        self._add_credit(account.queue, -account.spent)
        account.there = account.fresh = False

    def _ahead(self, account: Account) -> float:
        """What it owes that the others have not made up for yet."""
        ahead = (account.had - self._clock.get(account.queue, 0.0)) * account.weight
        return max(0.0, min(account.owed, ahead))

    def _come(self, source: Hashable, offer: Offer, now: float) -> Account:
        """The account of one that wants something; where it wanted nothing until now, with its place."""
        account = self._accounts.get(source)
        if account is None:
            account = self._accounts[source] = Account(offer.queue)
        account.weight, account.anew = offer.weight, offer.anew
        if not account.there:
            clock = self._clock.get(offer.queue, 0.0)
            if account.is_new(offer):
                account.came, account.used = next(self._numbers), 0.0
                account.batch = self._batch_of(offer, now)
                if not offer.anew:
                    self._batches[offer.queue] = account.batch, now
            account.there, account.fresh = True, offer.anew or (account.used < UNKNOWN and account.had <= clock)
            account.owed = account.spent
            account.owed = self._ahead(account)
            self._add_credit(offer.queue, account.owed)
            account.had = max(account.had, clock)
        return account

    def _batch_of(self, offer: Offer, now: float) -> int:
        """The batch of this one, if it comes now; plain jobs have theirs of their own."""
        number, last = self._batches.get(offer.queue, (0, now))
        return number + int(offer.anew or now - last > TOGETHER)

    def _look_at_clock(self, queue: str, now: float) -> None:
        """Keep it among what those have had that want something."""
        accounts = [one for one in self._accounts.values() if one.queue == queue and one.there]
        clock = self._clock.setdefault(queue, 0.0)
        if accounts:
            had = [self._had(account, now) for account in accounts]
            self._clock[queue] = max(min(had), min(clock, max(had)))

    def begin(self, task: Hashable, offer: Offer, now: float) -> None:
        """A process has been given a task, which no other has the name of, of this source."""
        account = self._come(offer.source, offer, now)
        charge = self._charge(account, offer, now)
        on_credit = account.fresh and self._goes_before_another(account, now)
        account.jumped |= on_credit
        one = self._tasks[task] = Task(account, now, charge, account.fresh, on_credit)
        account.tasks.add(task)
        account.fresh = False
        self._spend(one, charge)

    def _goes_before_another(self, account: Account, now: float) -> bool:
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
        account.fresh = one.fresh and account.used < UNKNOWN
        self._spend(one, seconds - one.charged)
        if one.on_credit and not account.anew:  # until it leaves
            self._add_credit(account.queue, one.spent)
            account.owed += one.spent

    def forget(self, source: Hashable) -> None:
        """It is no more."""
        account = self._accounts.pop(source, None)
        if account is not None:
            if account.there:
                self._leave(account)
            self._charge_for_coming(account)
            for task in account.tasks:
                self._tasks.pop(task, None)

    def _charge_for_coming(self, account: Account) -> None:
        """Reckon with so much at least for a map that is no more.

        A stream of maps of a millisecond each leaves processes idle while the service begins and ends these. By
        what runs alone the clock, at which each of them begins, would all but stand, and no credit would be spent:
        whoever was there before them would never have its turn.
        """
        seconds = UNKNOWN - account.used
        if not account.anew and account.used and seconds > 0:
            self._advance(account, seconds)
            if account.jumped:
                left = max(0.0, self._credit.get(account.queue, CREDIT))
                self._add_credit(account.queue, -min(seconds, left))

    def _advance(self, account: Account, seconds: float) -> None:
        """Move the clock on by what one source has had."""
        there = (one.weight for one in self._accounts.values() if one.queue == account.queue and one.there)
        before = self._clock.get(account.queue, 0.0)
        self._clock[account.queue] = before + seconds / (sum(there) or account.weight)

    # -- what comes next -------------------------------------------------------------------------------

    def upcoming(self, offers: Iterable[Offer], order: QueueOrder, now: float) -> Iterator[Offer]:
        """The offers whose tasks are the next ones, one by one, as if each was begun; until none is left.

        Nothing is changed. Who asks may offer what is not there, to hear whether it would come next.
        """
        lines: dict[str, Line] = {}
        for offer in offers:
            if offer.tasks > 0:
                if offer.queue not in lines:
                    clock = self._clock.get(offer.queue, 0.0)
                    lines[offer.queue] = Line(self._credit_of(offer.queue, now), clock)
                account = self._accounts.get(offer.source)
                charge, had = self._charge(account, offer, now), self._had(account, now)
                lines[offer.queue].add(offer, charge, account, had, self._batch_of(offer, now))
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

    def _charge(self, account: Account | None, offer: Offer, now: float) -> float:
        """Seconds that one more task is reckoned with: not less than those that run have taken already."""
        seconds = offer.seconds or UNKNOWN
        if account is None or not account.tasks:
            return seconds
        return max(seconds, *(now - self._tasks[task].began for task in account.tasks))

    def _had(self, account: Account | None, now: float) -> float:
        if account is None:
            return 0.0
        if not account.tasks:
            return account.had
        return account.had + sum(self._tasks[task].over(now) for task in account.tasks) / account.weight

    def _settle(self, now: float) -> None:
        """Reckon with what has run for longer than it was reckoned with, once that is worth it."""
        for task in self._tasks.values():
            over = task.over(now)
            if over > _SETTLED:
                task.charged += over
                self._spend(task, over)

    def _spend(self, task: Task, seconds: float) -> None:
        account, queue = task.account, task.account.queue
        account.had += seconds / account.weight
        self._advance(account, seconds)
        if task.on_credit:
            spent = min(seconds, MOST - task.spent)
            task.spent += spent
            self._add_credit(queue, -spent)
        else:
            self._add_credit(queue, EARNED * seconds)

    def _add_credit(self, queue: str, seconds: float) -> None:
        self._credit[queue] = min(CREDIT, self._credit.get(queue, CREDIT) + seconds)

    def _credit_of(self, queue: str, now: float) -> float:
        credit = self._credit.get(queue, CREDIT)
        for task in self._tasks.values():
            if task.account.queue == queue:
                over = task.over(now)
                credit += -min(over, MOST - task.spent) if task.on_credit else EARNED * over
        return min(CREDIT, credit)
