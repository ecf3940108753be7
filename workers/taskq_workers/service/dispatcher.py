"""The heart of a service: one loop, one inbox, one thread at a time that owns all state, and no lock but that.

    fetchers ──Fetched──┐                               ┌ commits ┐
    lanes ──Done, Died──┼─> inbox ─> one turn:          ├ claims  ┼─ one pipeline ─> Redis
    RQ's channel ───────┤     handle all events         └ reserve ┘
    manager ────Stop────┘     top up the lanes, exchange, begin new jobs, top up again, end what is complete

A turn takes everything that is in the inbox, so the busier the service, the more goes into one pipeline. Pool
processes are topped up before Redis is asked, from chunks claimed ahead. Everything else stays in Redis: the
memory of a service does not grow with the size of a map.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from taskq.redis import keys
from taskq_workers.lanes.death import ForkserverLostError
from taskq_workers.lanes.lane import Lane
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.core.errands import Errand
from taskq_workers.service.core.events import Broken, Died, Done, Event, Fetched, Message, Quiet, Stop
from taskq_workers.service.core.inbox import Inbox
from taskq_workers.service.core.state import State
from taskq_workers.service.departure import Departure
from taskq_workers.service.exchange import Exchange
from taskq_workers.service.housekeeping import Housekeeping
from taskq_workers.service.jobs import (
    beaten,
    casualties,
    chains,
    commands,
    copies,
    deadlines,
    ending,
    feeding,
    guests,
    left_behind,
    offers,
    outcomes,
    quarantine,
    recall,
    surrender,
)
from taskq_workers.service.jobs.ends import Ends
from taskq_workers.service.jobs.fetching import Fetching
from taskq_workers.service.jobs.gathering import Gathering
from taskq_workers.service.jobs.search import Search
from taskq_workers.service.reconciliation import reconcile
from taskq_workers.service.setbacks import Setbacks
from taskq_workers.service.upkeep.membership import Membership
from taskq_workers.service.upkeep.monitor import Monitor

log = logging.getLogger(__name__)

_FILES = 0.02  # seconds between looks whether another service has read a large object for this host
HEARD = 0.05  # seconds after which what the server has said before a message has been heard, too


class Dispatcher:
    """Runs one service until it is stopped.

    Args:
        state: The service's state; from now on this object's own.
        inbox: Where events arrive.
        fetching: Of jobs, not started yet.
        on_ready: Called once the service is registered.
    """

    def __init__(
        self,
        state: State,
        inbox: Inbox,
        fetching: Fetching,
        on_ready: Callable[[], object],
    ) -> None:
        self.state = state
        self._inbox = inbox
        self._fetching = fetching
        self._on_ready = on_ready
        self._membership = Membership(state)
        self._monitor = Monitor(state)
        self._idle_since = time.monotonic()
        self._joined = False
        self._ask = True  # the queues may hold jobs, and a process may be free for them
        self._setbacks = Setbacks(state, fetching, self._membership)
        self._gathering = Gathering()
        self._commands: deque[tuple[float, dict[str, Any]]] = deque()  # of RQ's, and when to obey them
        self._search = Search(state)
        self._ends = Ends(state)
        self._housekeeping = Housekeeping(state, self._search, self._membership, self._monitor)
        self._wakes_at = 0.0  # when the dispatcher's own thread has something to do, whatever comes
        self._departure = Departure(state, fetching, self._membership, self._monitor)

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until a ``Stop`` has arrived and what was in flight is done, or its deadline is over."""
        self._inbox.open(self.act)
        self.state.lanes.fill()
        if not self.state.settings.rq.burst:  # that never waits for jobs
            self._fetching.start()
        while not self._departure.due:
            now = time.monotonic()
            self._wakes_at = max(self._due(), now + self._setbacks.pause)
            self._step(self._inbox.wait(max(0.0, self._wakes_at - now)))
        self._departure.leave(lambda: self._handle(self._inbox.take()))

    def act(self, event: Event) -> bool:
        """Act on an event in the thread which brings it, as ``Inbox`` lets it; whether that was done."""
        if not self._is_brief(event):
            return False
        try:
            self._step([event], alone=True)
            if self._due() < self._wakes_at:
                self._inbox.ring()
        except BaseException as error:  # noqa: BLE001 - raised again where it ends the service
            self._inbox.put(Broken(error))
        return True

    def _is_brief(self, event: Event) -> bool:
        """Whether it is a job that comes by itself, or its end; all else may take long, or end its very thread."""
        state = self.state
        if self._setbacks.pause or not self._joined or self.state.stopping or self._commands:
            return False
        if state.active or state.errands or state.ready or state.jobs > state.lanes.size:
            return False
        if state.lanes.changing or time.monotonic() >= self._wakes_at:
            return False
        return (isinstance(event, Done) and bool(event.ends)) or (
            isinstance(event, Fetched) and isinstance(event.reply, list)
        )

    def _step(self, events: list[Event], *, alone: bool = False) -> None:
        self._handle(events)
        self._obey()
        if events and not self._fetching.unsettled and all(isinstance(event, Fetched) for event in events):
            return  # what came runs; its end must not wait for a turn in which there is nothing to do
        try:
            if alone and not (self._ask or self.state.unsure):
                Exchange(self.state, ask=False).run()  # somebody waits for this end; all else may come after it
            if alone and self.state.lanes.changing:  # who discards a lane waits for its threads' ends
                self._inbox.ring()
                return
            if alone and self._rests():
                self._open_gate()  # and no more: whoever waited for this end pushes the next job now
            else:
                self._turn()
        except Exception as error:  # noqa: BLE001 - it is raised again if nothing else helps
            if is_damage(error):
                self._setbacks.damage(error)
            else:
                self._setbacks.redis(error)
                self._housekeeping.was_away()
        else:
            self._setbacks.none()
        if self.state.finished and not self.state.stopping:
            log.info("ends: %s", self.state.finished, extra={"action": "finished"})
            self._departure.begin(time.monotonic() + self.state.settings.grace)

    def _rests(self) -> bool:
        """Whether a turn would find nothing to do until something comes or is due; notes that it worked."""
        state = self.state
        self._idle_since = time.monotonic()
        busy = state.jobs or state.active or state.polls or state.webhooks.busy
        return not (busy or self._ask or self._fetching.unsettled or self._gathering.until)

    def _due(self) -> float:
        """When something is to be done that no event tells of, on the monotonic clock; within a tick."""
        state = self.state
        until = [
            self._housekeeping.due,
            self._membership.due,
            *deadlines.due(state),
            *recall.due(state),
            *self._search.due(),
            *quarantine.due(state),
        ]
        if (due := state.lanes.due) is not None:
            until.append(due)
        if self._gathering.until:
            until.append(self._gathering.until)
        if self._commands:
            until.append(self._commands[0][0])
        if (leaves := self._departure.next_look) is not None:
            until = [leaves]
        if any(run.proof for run in state.active) or feeding.reads_on(state) or chains.is_due(state):
            until = [0.0]  # the next step of a proof that a map is complete, or of another's results, ...
        if self._housekeeping.behind:
            until.append(0.0)
        if feeding.waits_for_files(state):
            until.append(time.monotonic() + _FILES)
        if self._ask and state.lanes.idle and not (self._gathering.until or self._departure.next_look):
            until = [0.0]  # what was taken was none to run, and more waits
        return min(until)

    def _be_there(self) -> None:
        """Say that we live, before anything else, and see to it that we know what we hold."""
        state = self.state
        if not self._joined:
            state.scripts.load()
            state.speech.learn(state.connection)
            self._membership.join()
            self._joined = True
            self._on_ready()
        state.lanes.fill()
        self._membership.keep()  # with RQ's records of what we hold
        if state.unsure:
            reconcile(state)  # then what we hold still; if we were given up for dead, that may be nothing
        if state.stopping:
            self._membership.say_stop()
            self._fetching.wake()

    def _turn(self) -> None:
        state = self.state
        self._be_there()
        self._ask = self._fetching.settle() or self._ask
        if state.lanes.trouble and not state.stopping:
            surrender.all_of_it(state)
        offers.note(state)
        feeding.top_up(state, hold=True)
        if time.monotonic() >= self._housekeeping.due:
            self._ask = self._ask or not self._fetching.waits or state.settings.rq.max_idle_time is not None
            self._housekeeping.look()
            feeding.top_up(state, hold=True)  # with errands
        self._ask = self._search.look(ask=self._ask) or self._ask
        if not self._gathering.look(state):
            ending.end(state)
            self._exchange()
            if any(not job.succeeded for job in state.unrecorded):  # it was no simple one, after all
                ending.end(state)
                self._ask = True  # its dependents may be in the queues now
                self._exchange()
        chains.feed(state)
        if self._hungry() or copies.are_due(state):
            Exchange(state, ask=False).run()
        feeding.top_up(state)
        if self._search.idle():
            self._inbox.ring()
        if recall.look(state):  # only now: a process that has nothing to do has got nothing of what there was
            feeding.top_up(state)
        deadlines.enforce(state)
        self._end_maps()
        state.let_rest()
        self._open_gate()
        self._housekeeping.go_on()  # last, for somebody may wait for all else

    def _exchange(self) -> None:
        """Say to Redis what there is to say, take jobs, and begin them."""
        idle = self._idle()
        exchange = Exchange(self.state, ask=self._ask)
        self._ask = False
        try:
            exchange.run()
        finally:
            self._fetching.in_hand += exchange.others
        if idle and exchange.empty and not (exchange.begun or exchange.others):
            self._nothing_to_do()
        if exchange.begun:
            feeding.top_up(self.state, hold=True)
        if exchange.begun or exchange.others:
            self._ask = self._fetching.settle() or not exchange.empty
        if exchange.news:
            offers.note(self.state)  # before another gets the process that it came for

    def _idle(self) -> bool:
        """Whether nothing is left of what was begun. Remembers since when."""
        state = self.state
        errand_runs = any(isinstance(one, Errand) for lane in state.lanes for one in lane.tasks.values())
        idle = not (state.taken or state.errands or errand_runs or state.webhooks.busy)
        if not idle:
            self._idle_since = time.monotonic()
        return idle

    def _nothing_to_do(self) -> None:
        """The queues were found empty while nothing ran."""
        options = self.state.settings.rq
        if options.burst:
            self.state.finish("the queues are empty")
        elif options.max_idle_time is not None and time.monotonic() - self._idle_since >= options.max_idle_time:
            self.state.finish(f"idle for {options.max_idle_time:g} s")

    def _hungry(self) -> bool:
        """Whether a process has nothing to do, while something is pending, or may be."""
        state, now = self.state, time.monotonic()
        return bool(state.lanes.idle) and any(offers.pending(run, now) for run in state.active)

    def _open_gate(self) -> None:
        """Let the fetchers wait for jobs, if the queues were empty when last asked."""
        state = self.state
        if (
            self._ask
            or state.settings.rq.burst
            or state.lanes.trouble
            or state.behind
            or quarantine.is_secluded(state)
        ):
            self._fetching.pause()
        else:
            self._fetching.wait()

    # -- events ----------------------------------------------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        buried: list[Lane] = []
        while events:
            for event in events:
                self._note(event)
            dead = [event.lane for event in events if isinstance(event, Died) and not event.lane.discarded]
            if any(lane.tasks and lane.orphaned for lane in dead):
                raise ForkserverLostError("the forkserver was killed, and with it all pool processes")
            # What a dead process had finished reaches the inbox while its lane is buried; only then is it
            # known what was lost with it.
            events = []
            for lane in dead:
                self.state.lanes.bury(lane)
                events += self._inbox.take()
            buried += dead
        for lane in buried:
            for number in lane.tasks:
                self.state.policy.end(number, lane.death.seconds if number == lane.death.task else 0.0)
            casualties.settle(self.state, lane)

    def _note(self, event: Event) -> None:
        if isinstance(event, Done):
            # Of several queues the script takes in their order; fetchers take what comes first.
            self._ask = self._ask or len(self.state.queues) > 1 or not self._fetching.waits
            for number, outcome in event.ends:
                outcomes.arrived(self.state, event.lane, number, outcome)
        elif isinstance(event, Fetched):
            self._fetching.came(event)
        elif isinstance(event, Quiet):
            self._fetching.end_quiet()
        elif isinstance(event, Message):
            self._command(event.payload)
        elif isinstance(event, Stop):
            self._departure.begin(event.deadline)
        elif isinstance(event, Broken):
            raise event.error

    def _command(self, payload: dict[str, Any]) -> None:
        if payload.get("command") in ("taskq-complete", keys.LOOK):
            # Somebody has committed the last chunk of a map of ours, or closed one of which we hold chunks.
            for run in self.state.maps:
                run.look = run.look or run.store.keys.id == payload.get("map")
            self.state.look_over()
            if left_behind.of(self.state, str(payload.get("map"))):
                self._commands.append((time.monotonic(), {**payload, "command": keys.LOOK}))
        elif payload.get("command") == keys.WORK:  # somebody has chunks for who wants some
            self._search.told()
        elif payload.get("command") == keys.IDLE:
            guests.share(self.state)
        elif payload.get("command") == "taskq-beaten":  # somebody committed what runs here, too
            beaten.hear(self.state, payload)
        elif payload.get("command") == "taskq-sent":  # webhooks
            self._ask = True
        else:
            # Who sends it may have seen that a job has begun before the fetcher has brought it here.
            wait = HEARD if self.state.tickets else 0.0
            self._commands.append((time.monotonic() + wait, payload))

    def _obey(self) -> None:
        while self._commands and self._commands[0][0] <= time.monotonic():
            commands.obey(self.state, self._commands.popleft()[1])
            self.state.look_over()

    # -- ends ------------------------------------------------------------------------------------------

    def _end_maps(self) -> None:
        if self._ends.look():
            self._inbox.ring()
        feeding.top_up(self.state)  # with callbacks
        if not self.state.taken:
            if self.state.allowance <= 0:
                self.state.finish(f"has run {self.state.begun} jobs")
            self.state.worker.rest()
