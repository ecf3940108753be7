"""Who has had trouble: only such a service may be given up for dead, or hear that what it holds is another's."""

from __future__ import annotations

import math
from typing import Any

from tests.simulation.loop import Process
from tests.simulation.oracle import Violation

BACK_OFF = 2.0  # seconds for which a service may wait until it tries again to reach the server
_LEASES = 3.0  # times that of a lease for which trouble may be felt, when it is over


class Health:
    """Remembers until when whom something was in the way of."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._until: dict[str, float] = {}
        self._everybodys = -math.inf

    def trouble(self, process: Process, seconds: float) -> None:
        """Something is in the way of this process, for so long."""
        self._until[process.name] = max(self._until.get(process.name, 0.0), self._world.loop.now + seconds)

    def all_trouble(self, seconds: float) -> None:
        """Something is in everybody's way."""
        self._everybodys = max(self._everybodys, self._world.loop.now + seconds)

    def outage(self, seconds: float) -> None:
        """The server is away; who is back with it has the time of a lease to say so, if it looks often enough."""
        if self._world.plan.lease <= BACK_OFF:
            self.all_trouble(seconds)

    def given_up(self, name: str) -> None:
        """A service is given up for dead.

        Raises:
            Violation: If it is well, and has been for long enough to renew its lease several times.
        """
        services = (one for manager in self._world.managers for one in manager.services.values())
        alive = [one for one in services if one.name == name and one.alive]
        felt = max(self._until.get(name, -math.inf), self._everybodys) + _LEASES * self._world.plan.lease
        if alive and self._world.loop.now > felt:
            raise Violation(f"{name} is given up for dead, and is well")
