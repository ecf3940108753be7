"""What a service looks at though no event tells of it: once a second, and the dearer part of it less often.

What concerns all services is done by each of them. Where they are many, or the way to the server is long, each
takes its time (``core/fleet.py``): else they would cost the server as much as the square of their number.

Each part of that is a way to the server and back, or more, and nobody waits for it. So a turn does one of them,
and last: what has come meanwhile, a job or a first item, is not kept waiting by all of them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from taskq_workers.service.core.damage import contained
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import guests, intake, left_behind, refusing, short_path
from taskq_workers.service.jobs.rounds import Rounds
from taskq_workers.service.jobs.search import Search
from taskq_workers.service.jobs.suspension import Suspension
from taskq_workers.service.upkeep.deferred import Deferred
from taskq_workers.service.upkeep.maintenance import Maintenance
from taskq_workers.service.upkeep.membership import Membership
from taskq_workers.service.upkeep.monitor import Monitor
from taskq_workers.service.upkeep.sweep import Sweep

TICK = 1.0  # seconds between two looks
COMPARE = 30.0
"""Seconds between two looks at whether Redis holds what we don't know of, if nothing told so; of very many
services each looks less often: the server goes through the claims of all for it."""
COMPARING = 0.02, 0.1
"""Share of a server's time for that; and in the minutes after it was away, when it may hear late what was said."""
AFTERWARDS = 600.0  # seconds
APART, LONGEST = 10, 5.0  # looks around: so many times as far apart as one takes, but for so many seconds at most


class Housekeeping:
    """For the thread that owns the service's state.

    Args:
        state: The service's.
        search: Is told to look for work, too.
        membership: Says whether the service was given up for dead.
        monitor: Tells what runs here.
    """

    def __init__(self, state: State, search: Search, membership: Membership, monitor: Monitor) -> None:
        self._state = state
        self._search, self._membership, self._monitor = search, membership, monitor
        self._stranded = intake.Stranded()
        self._deferred = Deferred()
        self._sweep = Sweep()
        self._maintenance = Maintenance(state)
        self._suspension = Suspension(state)
        self._rounds = Rounds(state)
        self._ticked = self._looked = -math.inf
        self._compared = time.monotonic()
        self._away = -math.inf  # when Redis, or the way to it, failed last
        self._apart = 0.0  # seconds from one look around to the next, at least
        self._left: deque[Callable[[], None]] = deque()  # parts of the last look around that are still to be done
        self._took = 0.0  # seconds, those that were

    @property
    def due(self) -> float:
        """When to look next, on the monotonic clock."""
        return self._ticked + TICK

    @property
    def behind(self) -> bool:
        """Whether there is something for ``go_on``."""
        return bool(self._left)

    def was_away(self) -> None:
        """Redis, or the way to it, has just failed."""
        self._away = time.monotonic()

    def look(self) -> None:
        """Look at all that is due.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached.
        """
        state = self._state
        self._ticked = time.monotonic()
        state.worker.keep_hearing()
        guests.register(state)
        state.lanes.look()
        short_path.give_back_late(state)
        self._suspension.look()
        if not self._membership.was_away:
            self._maintenance.look()
        if not self._left and self._ticked - self._looked >= max(state.fleet.pace, self._apart) - TICK / 2:
            self._look_around()
        share = COMPARING[self._ticked - self._away < AFTERWARDS]
        if self._ticked - self._compared >= max(COMPARE, state.fleet.compare(share)):
            # The server may have heard late what we took for lost.
            self._compared, state.unsure = self._ticked, True
        self._rounds.look()
        state.look_over()  # also at what nothing has told of for long

    def _look_around(self) -> None:
        """Look at what concerns all services, as all of them do, each in its time."""
        self._looked, self._took = time.monotonic(), 0.0
        self._search.want()
        refusing.hear(self._state)  # a round trip only where something was refused
        self._left += [self._monitor.tell, self._look_for_stranded, self._sweep_up, self._look_at_deferred]
        self._left.append(partial(left_behind.look, self._state))  # a message may be lost

    def go_on(self) -> None:
        """Do one part of what is left of the look around.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached; that part comes again with the next look.
        """
        if not self._left:
            return
        began = time.monotonic()
        self._left.popleft()()
        self._took += time.monotonic() - began
        if not self._left:  # where the way to the server is long, ends of items wait for each of these
            self._apart = min(LONGEST, self._took * APART)

    def _look_for_stranded(self) -> None:
        with contained("the intermediate lists"):
            self._stranded.look(self._state, {taken.job_id for taken in self._state.taken})

    def _sweep_up(self) -> None:
        with contained("the list of maps"):
            self._sweep.look(self._state)

    def _look_at_deferred(self) -> None:
        self._deferred.look(self._state)
