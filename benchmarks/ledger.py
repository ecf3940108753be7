"""When items started, and where: a folder with one file for each process, outside of any queue."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 60.0  # seconds until something that must come has come
_LOOK = 0.002  # seconds between looks


@dataclass(frozen=True)
class Start:
    n: int
    pid: int
    at: float  # Unix time


def step(ledger: str, n: int, seconds: float) -> int:
    """The item that is measured everywhere."""
    file = Path(ledger) / str(os.getpid())
    with file.open("a") as start:
        start.write(f"{n} {time.time()}\n")
    time.sleep(seconds)
    with file.open("a") as end:
        end.write("end\n")
    return n


class Ledger:
    """Reads what ``step`` writes."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder)
        self._folder = folder

    @staticmethod
    def now() -> float:
        return time.time()

    def starts(self) -> list[Start]:
        """All starts so far, in their order."""
        found = [
            Start(int(n), int(file.name), float(at))
            for file in self._folder.iterdir()
            for n, _, at in (line.partition(" ") for line in file.read_text().splitlines())
            if at
        ]
        return sorted(found, key=lambda start: start.at)

    def running(self, pids: set[int]) -> set[int]:
        """What these processes have started and not ended."""
        files = [self._folder / str(pid) for pid in pids]
        last = [file.read_text().splitlines()[-1] for file in files if file.exists()]
        return {int(line.partition(" ")[0]) for line in last if line != "end"}

    def wait(self, condition: Callable[[], bool], patience: float = _PATIENCE) -> bool:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                if patience == _PATIENCE:
                    raise TimeoutError(f"nothing happens in {self.path}: {len(self.starts())} items have started")
                return False
            time.sleep(_LOOK)
        return True

    def first(self, which: Callable[[Start], bool], after: float, patience: float) -> float | None:
        """Seconds from ``after`` to the first such start; None if it does not come."""

        def found() -> list[float]:
            return [start.at for start in self.starts() if start.at > after and which(start)]

        return min(found()) - after if self.wait(lambda: bool(found()), patience) else None

    def pause(self, after: float, count: int, patience: float) -> float | None:
        """The longest time between two starts, until ``count`` more have come; None if they don't."""

        def later() -> list[float]:
            return [start.at for start in self.starts() if start.at > after]

        if not self.wait(lambda: len(later()) >= count, patience):
            return None
        times = [after, *later()[:count]]
        return max(b - a for a, b in itertools.pairwise(times))
