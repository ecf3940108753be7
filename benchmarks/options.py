"""What each option of a map costs, on items of nothing: ``make bench-options``.

Each option is measured beside a map without any, in turn and many times, as ``pairs.py`` does it; the first line
is a map without options beside itself, and says how exactly that is known here. With ``--before COMMIT`` the last
line is a map without options beside one of the code of that commit, with its own server and worker: what nobody
uses must cost nobody anything.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import taskq
from benchmarks import alone, pairs, works
from benchmarks.report import table

ROOT = Path(__file__).parents[1]
HEAD = ("option", "items", "pairs", "time / that of a map without it, median", "middle half", "fastest / fastest")
_SLOWER = 50  # times fewer items where each is claimed by itself
_PLAIN = Path(__file__).with_name("plain_map.py")

Run = Callable[[], object]


def load() -> None:
    """An initializer."""


def maps(q: taskq.Queue, count: int) -> Iterator[tuple[str, int, Run]]:
    """Of each option its name, how many items, and a map with it."""
    names = itertools.count()

    def plain(items: int = count, **options: Any) -> Run:
        def run() -> None:
            job = q.map(works.noop, range(items), **options)
            job.count() if options.get("results") == "discard" else job.get()
            job.delete()

        return run

    def named() -> None:
        job = q.map(works.noop, range(count), job_id=f"bench-{next(names)}", if_exists="attach")
        job.get()
        job.delete()

    def remembered() -> None:
        plain(memo=f"bench-{next(names)}", key=str)()

    def fed() -> None:
        with q.open_map(works.noop) as job:
            job.put_many(range(count))
        job.get()
        job.delete()

    options: dict[str, dict[str, Any]] = {
        "none": {},
        "item_timeout=60": {"item_timeout": 60},
        "weight=2": {"weight": 2},
        "max_failures=10": {"max_failures": 10},
        'results="discard"': {"results": "discard"},
        "first=, all of them": {"first": count},
        "initializer=": {"initializer": load},
        "item_retry=Retry(3)": {"item_retry": taskq.Retry(3)},
        "max_running=100": {"max_running": 100},
        "speculate=True": {"speculate": True},
        "share=False": {"share": False},
    }
    for name, one in options.items():
        yield name, count, plain(**one)
    few = max(1, count // _SLOWER)
    yield 'rate="10000/s"', few, plain(few, rate="10000/s")
    yield 'job_id=, if_exists="attach"', count, named
    yield "memo=, key=", count, remembered
    yield "open_map, put_many", count, fed
    yield "imap", few, lambda: list(q.imap(works.noop, range(few)))


def measured(q: taskq.Queue, count: int, times: int) -> Iterator[tuple[str, ...]]:
    """A line for each option, as soon as it is there."""
    for name, items, run in maps(q, count):

        def without(items: int = items) -> None:
            job = q.map(works.noop, range(items))
            job.get()
            job.delete()

        ours, theirs = pairs.in_turn(run, without, times)
        yield name, f"{items:,}", str(times), *pairs.compared(ours, theirs)


def beside_before(commit: str, count: int, times: int) -> tuple[str, ...]:
    """A map without options, by this code and by that of a commit."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        before = Path(folder, "before")
        git = [shutil.which("git") or "git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", before, commit], check=True, capture_output=True)
        stack.callback(subprocess.run, [*git, "remove", "--force", before], check=True)
        now, then = (stack.enter_context(_plain(root, count)) for root in (ROOT, before))
        ours, theirs = [], []
        for number in range(times + 1):
            for one, seen in ((now, ours), (then, theirs))[:: 1 if number % 2 else -1]:
                seen.append(one())
    return f"none, beside {commit}", f"{count:,}", str(times), *pairs.compared(ours[1:], theirs[1:])


@contextlib.contextmanager
def _plain(root: Path, count: int) -> Iterator[Callable[[], float]]:
    """Seconds that a map takes, each time it is called, by the code in this folder."""
    path = os.pathsep.join(map(str, (root, root / "workers")))
    with subprocess.Popen(
        [sys.executable, "-P", _PLAIN, str(count)], cwd=root, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        told = process.stdout.readline().strip()
        if not Path(told).is_relative_to(root):
            raise click.ClickException(f"the code of {root} was to be measured, and {told} was imported")

        def once() -> float:
            process.stdin.write("again\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield once
        process.stdin.close()


@click.command()
@click.option("--items", "count", default=100_000, show_default=True)
@click.option("--pairs", "times", default=10, show_default=True)
@click.option("--before", "commit", help="Measure a map without options beside this commit's, too.")
def main(count: int, times: int, commit: str | None) -> None:
    """Measure, and print a table."""
    with alone.queue() as q:
        rows = []
        for row in measured(q, count, times):
            click.echo(f"{row[0]}: {row[3]}", err=True)
            rows.append(row)
    if commit:
        rows.append(beside_before(commit, count, times))
    click.echo(table(HEAD, rows))
    others = [float(row[3]) for row in rows[1:]]
    click.echo(f"median of all: {statistics.median(others):.3f}")


if __name__ == "__main__":
    main()
