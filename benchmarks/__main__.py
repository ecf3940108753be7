"""Measure taskq, alone and beside others, and write docs/benchmarks.md: ``make bench``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from benchmarks import alone, fronts, page, pairs, plot, processes
from benchmarks.harness import FailedError, Harness
from benchmarks.peers import SYSTEMS
from benchmarks.report import table
from benchmarks.works import FULL, QUICK, WORKS, Scale

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_ALONE = "alone"  # beside the names of systems: taskq by itself


@click.command()
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Choice([s.name for s in SYSTEMS] + [_ALONE]),
    help="Only this one; may be given several times. 'alone' is what is measured of taskq by itself.",
)
@click.option(
    "--work",
    "works",
    multiple=True,
    type=click.Choice([w.name for w in WORKS] + ["growth"]),
    help="Only this one; may be given several times.",
)
@click.option("--rounds", type=click.IntRange(1), help="Default: 3, with --quick 1.")
@click.option(
    "--limit",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds one measurement may take; a system that takes longer has failed at it.",
)
@click.option("--quick", is_flag=True, help="Small sizes, one round: to see that all of it works.")
@click.option(
    "--page",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Where to write; default: docs/{PAGE.name} if everything is measured in full, else nowhere.",
)
def main(
    systems: tuple[str, ...], works: tuple[str, ...], rounds: int | None, limit: float, *, quick: bool,
    path: Path | None,
) -> None:  # fmt: skip
    """Run the same work on taskq and on others, in turn, and print tables.

    A system that is not installed, does not start, fails or hangs is reported as such; the others go on.
    """
    scale = QUICK if quick else FULL
    rounds = rounds or (1 if quick else 3)
    if path is None and not (systems or works or quick):
        path = PAGE
    chosen = [work for work in WORKS if not works or work.name in works]
    compared = page.all_systems([name for name in systems if name != _ALONE])
    parts = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing is to be left then either
    with processes.adopting_orphans():
        if set(systems) != {_ALONE}:
            harness = Harness(compared, chosen, scale, limit)
            for _ in range(rounds):
                harness.round()
            if not works or "growth" in works:
                harness.once()
            picture = (path or PAGE).with_suffix(".svg")
            if path:
                plot.draw(harness.findings, chosen, picture)
            parts.append(page.comparison(harness.findings, chosen, picture.name))
        if (not systems and not works) or _ALONE in systems:
            parts.append(by_itself(scale, rounds))
        if not (systems or works or quick):
            parts.append(fronts.compare(rounds))
    parts += [page.works_explained(chosen, scale), page.fairness(compared)]
    print("\n".join(parts))
    if path:
        page.write(path, rounds, parts)


def by_itself(scale: Scale, rounds: int) -> str:
    """The part about taskq alone."""
    try:
        rows = alone.start(rounds)
        with alone.queue() as q:
            for measured in (alone.idle, alone.latency, alone.enqueue):
                rows += measured(q, scale)
            memory = alone.memory(q, scale)
            gaps = alone.gaps(q, rounds)
        paired = pairs.beside_pool(scale)
    except FailedError as error:
        return f"## taskq by itself\n\nFailed: {error}\n"
    killed = ("killed", "gap, median", "gap, worst", "results lost", "results doubled")
    return f"""## taskq by itself

{table(("what", "measured"), rows)}
### CPU-bound maps, in turn with a bare Pool

The same map by both, one right after the other: what the machine does to one pair hardly changes their median.

{table(pairs.HEAD, paired)}
### Memory of a huge map

{table(("when", "service", "Redis"), memory)}
### kill -9 in mid-map

A gap runs from the kill to the start of the next chunk in a new process; the other processes go on meanwhile.

{table(killed, gaps)}"""


if __name__ == "__main__":
    main()
