"""How far a map is, and the bar that shows it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Progress:
    """A map's numbers at one moment.

    Args:
        done: Items with a result.
        failed: Items without.
        total: All items.
        rate: Items per second since the map began to run; 0.0 before.
        seconds_left: Estimated at that rate; None while there is none.
    """

    done: int
    failed: int
    total: int
    rate: float
    seconds_left: float | None

    @classmethod
    def since(cls, started: float, now: float, done: int, failed: int, total: int) -> Progress:
        """From the counters and the Unix times of the start (0: not yet) and of now."""
        ended = done + failed
        elapsed = now - started if started else 0.0
        rate = ended / elapsed if elapsed > 0 else 0.0
        return cls(done, failed, total, rate, (total - ended) / rate if rate else None)

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return f"{self.done}/{self.total} done, {self.failed} failed, {self.rate:.1f} items/s{left}"


@contextmanager
def bar(name: str) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr (nothing where that is no terminal); yields the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} items/s"),
        TextColumn("[red]{task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(name, total=None, rate="-", failed="")

        def move(progress: Progress) -> None:
            shown.update(
                task,
                completed=progress.done + progress.failed,
                total=progress.total,
                rate=f"{progress.rate:,.0f}" if progress.rate >= 10 else f"{progress.rate:.1f}",  # noqa: PLR2004
                failed=f"{progress.failed} failed" if progress.failed else "",
            )

        yield move
