"""What a service's fetchers bring, and when they wait for it."""

from __future__ import annotations

import threading

import rq

from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.events import Fetched
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import feeding, fetcher, intake, short_path
from taskq_workers.service.jobs.fetcher import Fetcher
from taskq_workers.service.jobs.short_path import QuickJob


class Fetching:
    """For the thread that owns the service's state.

    Args:
        state: The service's.
        gate: Open while fetchers should wait for jobs.
        fetchers: One for each of the first queues, not started yet.
    """

    def __init__(self, state: State, gate: threading.Event, fetchers: list[Fetcher]) -> None:
        self._state = state
        self._gate = gate
        self._fetchers = fetchers
        self.in_hand: list[tuple[rq.Queue, str]] = []  # in the intermediate list, to be begun by RQ's own code
        self._surplus: list[QuickJob | tuple[rq.Queue, str]] = []  # there is no room for them
        self._left = False
        self._quiet = False  # since a job has come; then its fetcher says when it may wait again

    def start(self) -> None:
        for one in self._fetchers:
            one.start()

    def stop(self) -> None:
        """Ask the fetchers to end; until they have, they may still bring something."""
        self.pause()
        for one in self._fetchers:
            one.stop()

    def wake(self) -> None:
        """Have those end at once that were asked to, and wait for something; what comes they still bring.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached.
        """
        self._gate.set()  # who waits there hears it; who fetches in between has seen that it is to end
        self._gate.clear()
        for one in self._fetchers:
            one.wake(self._state.connection)

    def join(self) -> None:
        """Give the fetchers the time of one wait to end."""
        for one in self._fetchers:
            if one.is_alive():
                one.join(fetcher.BLOCK)

    @property
    def ended(self) -> bool:
        return not any(one.is_alive() for one in self._fetchers)

    # -- the gate --------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a job that is pushed now comes by itself, or will in a moment."""
        return (self._gate.is_set() or self._quiet) and all(one.is_alive() for one in self._fetchers)

    def wait(self) -> None:
        """Let the fetchers wait for jobs, if a process is free."""
        if self._quiet and (self._state.jobs or self._state.active):
            return
        self._quiet = False
        if self._room():
            self._gate.set()
        else:
            self._gate.clear()

    def pause(self) -> None:
        self._gate.clear()
        self._quiet = False

    def end_quiet(self) -> None:
        """The fetcher that brought the last job has been left alone for long enough."""
        self._quiet = False

    def _room(self) -> int:
        """How many jobs can start now; for others somebody else may be free."""
        state = self._state
        if state.stopping or state.suspended:
            return 0
        return max(0, min(len(state.lanes.idle) - state.waiting, state.allowance))

    # -- what comes ------------------------------------------------------------------------------------

    def came(self, event: Fetched) -> None:
        """Give what has begun to a process, before anything else is done; nothing is said to Redis."""
        state, reply = self._state, event.reply
        state.tickets.discard(event.ticket)
        if reply is None:
            state.unsure = self._left = True  # what this fetcher can't bring, others have to ask for
            return
        state.suspended = isinstance(reply, int)
        if isinstance(reply, int):
            return
        begun, others = short_path.read_take(state, [event.queue], reply)
        self._left = self._left or reply[0] > 0
        self._quiet = True
        room = max(0, self._room() - len(self.in_hand))
        state.begin(begun[:room])
        feeding.top_up(state)
        more = max(0, room - len(begun))
        for queue, _job_id in others[:more]:
            state.took(queue)
        self.in_hand += others[:more]
        self._surplus += [*begun[room:], *others[more:]]

    @property
    def unsettled(self) -> bool:
        """Whether something is left to be said to Redis about what has come."""
        return bool(self._surplus or self.in_hand or self._left or self._state.unsure or self._state.suspended)

    def settle(self) -> bool:
        """Begin and give back what needs Redis for it; whether it is known that the queues hold more."""
        state = self._state
        while self._surplus:
            one = self._surplus[0]
            with contained("a job that there is no room for"):  # else found in its list by ``intake.Stranded``
                if isinstance(one, QuickJob):
                    short_path.give_back(state, one)
                else:
                    intake.give_back(state, *one)
            del self._surplus[0]
        if self.in_hand:
            with contained("the beginning of jobs"):
                intake.begin(state, self.in_hand)
            self.in_hand = []
        left, self._left = self._left, False
        return left
