"""How many work on a server, and how much of it each may therefore ask: so the whole asks no more of it.

A few services each do what serves them best, at once. Where there are many, one server works for all of them, and
what every service does now and then, or when a message comes, is done as much less often as there are more. And
chunks last longer the more processes there are, for each chunk costs the server the same. See docs/scaling.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskq.maps.runner import SLICE
from taskq.redis.services import FEW

CHUNK = 0.00013
"""Seconds of a server for a chunk, claimed and committed; measured: ``make fleet``."""

SHARE = 0.4
"""Of a server's time that chunks may take, if all processes run such as are cut."""

_LOOK = 0.0005  # seconds between two looks that messages ask of one service, for each service there is
_PACED = 200  # services which look each second are not too many
_MAPS = (20, 200)  # of a queue that are looked at, at least and at most
_LOOKED_AT = 40_000  # of all services together, at a time
_CLAIM = 3e-7  # seconds of a server, to look at one claim
_CALL = 0.00025  # the same, between two messages that somebody is idle


@dataclass(frozen=True)
class Fleet:
    """All services that are alive on a server.

    Args:
        services: How many; one that has not heard of others yet knows of itself.
        processes: That they bring, in all.
    """

    services: int = 1
    processes: int = 1

    @property
    def times(self) -> float:
        """How many times as long each waits between two rounds as it would if there were few."""
        return max(1.0, self.services / FEW)

    @property
    def pace(self) -> float:
        """Seconds between two looks at what a message may not have told of: one, as long as that does not cost."""
        return max(1.0, self.services / _PACED)

    @property
    def maps(self) -> int:
        """How many open maps of a queue are looked at, at a time."""
        return max(_MAPS[0], min(_MAPS[1], _LOOKED_AT // self.services))

    def compare(self, share: float) -> float:
        """Seconds in which all services go once through all claims, if that is to take this share of a server."""
        return self.services * self.processes * _CLAIM / share

    @property
    def look(self) -> float:
        """Seconds that pass between two looks which others' messages ask for."""
        return self.services * _LOOK if self.services > FEW else 0.0

    @property
    def call(self) -> float:
        """Seconds within which one message to all services, that somebody is idle, is enough."""
        return max(0.001, self.services * _CALL)

    @property
    def stretch(self) -> float:
        """How many times ``SLICE`` a chunk is to last, so that the server has time for those of all processes."""
        return max(1.0, self.processes * CHUNK / SHARE / SLICE)
