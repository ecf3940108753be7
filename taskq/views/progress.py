"""How far a map is, as numbers; what shows them is in ``progress_bar``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A map's numbers at one moment.

    Args:
        done: Items with a result.
        failed: Items without.
        total: All items; of an open map those it has so far.
        rate: Items per second since the map began to run; 0.0 before.
        seconds_left: Estimated at that rate; None while there is none.
        busy: Pool processes that run something of this map, as services told within the last second.
        cores: Pool processes of all live services.
        elapsed: Seconds since the map began to run; of one that has ended, until then.
        sealed: Whether it gets no more items.
    """

    done: int
    failed: int
    total: int
    rate: float
    seconds_left: float | None
    busy: int = 0
    cores: int = 0
    elapsed: float = 0.0
    sealed: bool = True

    @classmethod
    def since(
        cls, started: float, now: float, done: int, failed: int, total: int, busy: int = 0, cores: int = 0, *,
        sealed: bool = True,
    ) -> Progress:  # fmt: skip
        """From the counters and the Unix times of the start (0: not yet) and of now."""
        ended = done + failed
        elapsed = now - started if started else 0.0
        rate = ended / elapsed if elapsed > 0 else 0.0
        left = (total - ended) / rate if rate and sealed else None
        return cls(done, failed, total, rate, left, busy, cores, max(0.0, elapsed), sealed)

    @property
    def ended(self) -> int:
        """Items that have ended either way."""
        return self.done + self.failed

    @property
    def total_text(self) -> str:
        """How many items there are, in a table: of an open map with a plus."""
        return f"{self.total}{'' if self.sealed else '+'}"

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        busy = f", {self.busy}/{self.cores} cores busy" if self.busy else ""
        return f"{self.done}/{self.total_text} done, {self.failed} failed, {self.rate:.1f} items/s{left}{busy}"
