"""What has really run, written outside the server: nothing that happens to that changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Value:
    """The result of one item.

    Args:
        function: Number of the push whose function it was.
        item: Number of the push whose item it was.
        index: Of the item.
        run: Which no other run has.
    """

    function: int
    item: int
    index: int
    run: int


@dataclass
class Run:
    """One run of one item."""

    push: int
    index: int
    process: str
    service: str
    began: float
    ended: bool = False
    item: Value | None = None  # what it was called with, if that is a result of another push


@dataclass
class Ledger:
    """Every run there was.

    Args:
        deaths: (push, index) -> how many processes and services died while they had the item, or what came of it.
        loads: (process, incarnation) -> how often the initializer was called there.
        stopped: Processes that were stopped for a while.
        lost: How many services died.
    """

    runs: list[Run] = field(default_factory=list)
    deaths: dict[tuple[int, int], int] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    lost: int = 0
    loads: dict[tuple[str, str], int] = field(default_factory=dict)

    def load(self, process: str, incarnation: str) -> int:
        """The initializer of a map is called; returns how often any has been."""
        self.loads[process, incarnation] = self.loads.get((process, incarnation), 0) + 1
        return sum(self.loads.values())

    def begin(
        self, push: int, index: int, process: str, service: str, now: float, item: Value | None = None
    ) -> int:
        self.runs.append(Run(push, index, process, service, now, item=item))
        return len(self.runs) - 1

    def tries(self, push: int, index: int) -> int:
        return sum((run.push, run.index) == (push, index) for run in self.runs)

    def was_stopped(self, push: int, index: int) -> bool:
        """Whether the item may have taken long because its process was stopped."""
        return any((run.push, run.index) == (push, index) and run.process in self.stopped for run in self.runs)

    def died(self, process: str) -> None:
        """This process is dead: what it was running has cost it its life, or was there when it was killed."""
        for run in reversed(self.runs):
            if run.process == process:
                if not run.ended:
                    self._had(run.push, run.index)
                return

    def service_died(self, service: str, stored: Callable[[int, int], bool]) -> None:
        """So is this service, with all that came of what its processes have run, and was not stored."""
        self.lost += 1
        mine = [run for run in self.runs if run.service == service]
        counted = {(run.push, run.index) for run in mine if not run.ended}
        for key in dict.fromkeys((run.push, run.index) for run in mine):
            if key not in counted and not stored(*key):
                self._had(*key)

    def _had(self, push: int, index: int) -> None:
        self.deaths[push, index] = self.deaths.get((push, index), 0) + 1
