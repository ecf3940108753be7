"""Measure taskq, alone and beside others, and write docs/benchmarks.md: ``make bench``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

import taskq
from benchmarks import alone, fronts, history, page, pairs, plot, processes, wide
from benchmarks import quiet as quietness
from benchmarks.harness import FailedError, Findings, Harness
from benchmarks.peers import SYSTEMS, System
from benchmarks.report import table
from benchmarks.works import FULL, QUICK, WORKS, Scale, Work

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
@click.option("--busy", is_flag=True, help="Measure also if the machine has other things to do; the page says so.")
@click.option(
    "--page",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Where to write; default: docs/{PAGE.name} if everything is measured in full, else nowhere.",
)
def main(
    systems: tuple[str, ...], works: tuple[str, ...], rounds: int | None, limit: float, *, quick: bool, busy: bool,
    path: Path | None,
) -> None:  # fmt: skip
    """Run the same work on taskq and on others, in turn, and print tables.

    A system that is not installed, does not start, fails or hangs is reported as such; the others go on.
    """
    scale = QUICK if quick else FULL
    rounds = rounds or (1 if quick else 3)
    if path is None and not (systems or works or quick):
        path = PAGE
    quiet = quietness.look()
    if not (quiet.enough or busy or quick):
        raise click.ClickException(f"the machine is not quiet: {quiet}. End what runs, or use --busy.")
    print(f"The machine: {quiet}.", file=sys.stderr)
    chosen = [work for work in WORKS if not works or work.name in works]
    compared = page.all_systems([name for name in systems if name != _ALONE])
    parts = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing is to be left then either
    with processes.adopting_orphans():
        if set(systems) != {_ALONE}:
            harness = Harness(compared, chosen, scale, limit)
            parts += side_by_side(harness, chosen, rounds, path, growth=not works or "growth" in works)
        if (not systems and not works) or _ALONE in systems:
            parts.append(by_itself(scale, rounds))
        if not (systems or works or quick):
            parts.append(fronts.compare(rounds))
    parts += [page.works_explained(chosen, scale), page.fairness(compared)]
    print("\n".join(parts))
    if path:
        page.write(path, rounds, quiet, parts)


def side_by_side(
    harness: Harness, works: Sequence[Work], rounds: int, path: Path | None, *, growth: bool
) -> list[str]:
    """The parts about all systems, with pictures if there is to be a page."""
    for _ in range(rounds):
        harness.round()
    if growth:
        harness.once()
    picture = (path or PAGE).with_suffix(".svg")
    if path:
        plot.draw(harness.findings, works, picture)
    parts = [page.comparison(harness.findings, works, picture.name)]
    if path == PAGE:
        parts.append(_releases(harness.findings, works, path))
    return parts


def _releases(findings: Mapping[System, Findings], works: Sequence[Work], path: Path) -> str:
    """Keep what was found, and show it beside what was found before."""
    today = datetime.now(UTC).date().isoformat()
    new = history.entry(taskq.__version__, today, page.machine(), findings, works)
    entries = history.keep(path.with_suffix(".json"), new)
    picture = path.with_name(f"{path.stem}_releases.svg")
    plot.draw_releases(entries, works, picture)
    return page.releases(entries, picture.name)


def by_itself(scale: Scale, rounds: int) -> str:
    """The part about taskq alone."""
    try:
        rows = [*alone.start(rounds), *alone.local(rounds)]
        with alone.queue() as q:
            for measured in (alone.idle, alone.latency, alone.enqueue, wide.values, wide.costs):
                rows += measured(q, scale)
            memory = alone.memory(q, scale)
            gaps = alone.gaps(q, rounds)
        paired = pairs.beside_pool(scale)
        sleeping = [wide.sleeping(processes) for processes in scale.wide]
    except FailedError as error:
        return f"## taskq by itself\n\nFailed: {error}\n"
    killed = ("killed", "gap, median", "gap, worst", "results lost", "results doubled")
    return f"""## taskq by itself

{table(("what", "measured"), rows)}
### CPU-bound maps, in turn with a bare Pool

The same map by both, one right after the other: what the machine does to one pair hardly changes their median.

{table(pairs.HEAD, paired)}
### Many processes

{table(wide.HEAD, sleeping)}
### Memory of a huge map

{table(("when", "service", "Redis"), memory)}
### kill -9 in mid-map

A gap runs from the kill to the start of the next chunk in a new process; the other processes go on meanwhile.

{table(killed, gaps)}"""


if __name__ == "__main__":
    main()
