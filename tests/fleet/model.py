"""One server and very many cores: who waits for whom, in a model of the chunks' ways.

Real are the rules, imported from the product: how large the producer makes chunks (``size_for``), after how long a
process cuts one and into what (``runner``), and how much longer that is where there are many (``Fleet``). What
each thing costs the server, ``costs.py`` has measured. Modelled is the rest: a server that does one thing at a
time, in the order in which it is asked; cores that claim the next chunk when they have committed one; the way
between them. Of the services themselves there is nothing, but what all of them ask of the server in each second.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass

from taskq.maps import cutting, runner
from taskq.maps.chunk import size_for
from taskq.maps.pace import Pace
from taskq_workers.service.core.fleet import Fleet
from tests.fleet.costs import PROCESSES, Costs

_PACED = 0.4  # of what services ask when nothing is to do, which they ask as often however many they are
_WAY = 0.0002  # seconds, there and back
_JITTER = 0.2  # by how much the items of a chunk may take more, or less, than they do on average


@dataclass(frozen=True)
class Case:
    """A map, and who runs it.

    Args:
        cores: In services of ``PROCESSES``.
        seconds: That an item takes, on average.
        each: Items for each core.
        crowd: Whether chunks last longer where there are many cores.
    """

    cores: int
    seconds: float
    each: float
    crowd: bool = True

    @property
    def items(self) -> int:
        return round(self.cores * self.each)

    @property
    def services(self) -> int:
        return -(-self.cores // PROCESSES)


@dataclass(frozen=True)
class Came:
    """What came of it.

    Args:
        took: Seconds, over those that it takes at least.
        chunks: In a second.
        busy: Share of the server's time that chunks took, while the map ran.
        beside: Share of its time that is asked in each second by services that just live.
    """

    took: float
    chunks: float
    busy: float
    beside: float

    @property
    def load(self) -> float:
        return self.busy + self.beside


def beside(services: int, costs: Costs) -> float:
    """Share of a server's time that so many services ask for, whatever runs."""
    fleet = Fleet(services, 0)
    notes = min(services, 1 / fleet.call) * services * costs.hear  # while a map has no more for all
    paced = _PACED + (1 - _PACED) / fleet.pace
    return (services * paced * (costs.alive + costs.look_map) + notes) / 1e6


class _Server:
    """Does one thing at a time."""

    def __init__(self, slower: float) -> None:
        self._free = 0.0
        self._slower = slower
        self.busy = 0.0

    def ask(self, now: float, seconds: float) -> float:
        """When it has done what takes so many seconds, and the answer is there."""
        self.busy += seconds
        self._free = max(self._free, now) + seconds * self._slower
        return self._free + _WAY


def _ran(count: int, each: float, most: float) -> tuple[int, list[int]]:
    """How many items of a chunk run before it is cut, and the sizes of what is left: as a pool process decides."""
    pace = Pace(None, 0.0, most, count, 1 << 30, 0)
    pace.began = 0.0
    position = max(1, -int(-most // each))
    if position >= count or not pace.stops(position, position, position * each):
        return count, []
    return position, [len(part) for part in cutting.cut(range(position, count), pace.size)]


def run(case: Case, costs: Costs, seed: int = 1) -> Came:
    """Have a map run to its end."""
    rng = random.Random(seed)
    fleet = Fleet(case.services, case.cores)
    most = runner.SLICE * (fleet.stretch if case.crowd else 1.0)
    rest = beside(case.services, costs)
    server = _Server(1 / max(0.01, 1 - rest))
    pending: deque[int] = deque()
    written = 0
    while written < case.items:
        pending.append(min(case.items - written, size_for(written, case.items, case.cores)))
        written += pending[-1]
    chunk, item = costs.chunk_of_many / 1e6, costs.item / 1e6
    ends: list[tuple[float, int, int, list[int]]] = []  # when, of which core, items done, and what is left of it
    free, chunks, last = deque((0.0, core) for core in range(case.cores)), 0, 0.0
    while ends or (free and pending):
        while free and pending:
            now, core = free.popleft()
            each = case.seconds * rng.uniform(1 - _JITTER, 1 + _JITTER)
            done, left = _ran(pending.popleft(), each, most)
            heapq.heappush(ends, (max(now, last) + done * each, core, done, left))
        now, core, done, left = heapq.heappop(ends)
        pending.extendleft(reversed(left))
        stored = server.ask(now, chunk + done * item)
        free.append((stored, core))
        chunks, last = chunks + 1, now
    took = max(now for now, _core in free)
    least = case.items * case.seconds / case.cores
    return Came(took / least, chunks / took, server.busy / took, rest)
