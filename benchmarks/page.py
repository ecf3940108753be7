"""docs/benchmarks.md, from what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks import history
from benchmarks.harness import Findings, server
from benchmarks.history import Entry
from benchmarks.peers import PROCESSES, SYSTEMS, System
from benchmarks.quiet import Quiet
from benchmarks.report import Comparison
from benchmarks.works import Scale, Work
from taskq.redis.connection import connect


def machine() -> str:
    """Where it was measured."""
    with server() as url, connect(url) as connection:
        info: Any = connection.info("server")
    name = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {name} over TCP on loopback, for all systems alike"
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions(system: System) -> str:
    found = []
    for package in system.packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package}: not installed")
    return ", ".join(found) or f"Python {platform.python_version()}"


def comparison(findings: Mapping[System, Findings], works: Sequence[Work], picture: str) -> str:
    """The part about all systems."""
    tables = Comparison(findings, works)
    return f"""## Side by side

In brackets: how many times as well as taskq a system does (more than 1: better than taskq), the median of the
rounds' own ratios. Bold: the best of all. "no": see the note.

{tables.medians()}
![The same as bars, and the time of an item in growing maps]({picture})

## Growing maps

No-op items; memory is that of the caller, the workers and Redis together at its peak, less what it was before. One
measurement of each; a system stops where the next size would take it too long.

{tables.growth()}
## Idling

Started, and without work; caller and workers together.

{tables.idle()}"""


def works_explained(works: Sequence[Work], scale: Scale) -> str:
    values = {**vars(scale), "ideal": scale.ideal}
    lines = "\n".join(f"- **{work.title}**, {work.unit}: {work.explained.format(**values)}" for work in works)
    return f"## What is measured\n\n{lines}\n"


def fairness(systems: Sequence[System]) -> str:
    """How each system was set up."""
    rows = "\n".join(f"| {s.title} | {s.configured} | {s.cannot} | {_versions(s)} |" for s in systems)
    return f"""## Fairness

- Every system has {PROCESSES} worker processes that run one job at a time each; where not, the table says so.
- In each round every system runs all works, one system after the other, each with a server of its own that
  is empty, and no process of another system is left. So a drift of the machine meets all. The servers keep nothing
  on disk, and don't limit what may wait for a subscriber, which Celery's large results need.
- Work begins when both worker processes have been seen at work at the same time; starting is not measured.
- Before each work a GiB of memory is used and given back: a virtual machine may first have to get it from its
  host, which would be counted to whoever needs it first.
- A rate is measured over about the same time for all, so slow systems do fewer jobs.
- Each system is used as its documentation says is best for the work; results are kept and fetched. taskq gets no
  hints. If you know a better way to use one, it is a few lines in `benchmarks/peers/`.
- taskq and RQ keep more than others: every job's state, times, and results until their time to live is over.

| system | set up as | cannot | versions |
|---|---|---|---|
{rows}
"""


def releases(entries: Sequence[Entry], picture: str) -> str:
    """The part about all releases."""
    return f"""## From release to release

What taskq measured then, and in brackets how many times as well it did as the middle one of the other systems in
the same run: machines and days differ, so that only these can be compared. All figures of all systems are in
[benchmarks.json](benchmarks.json).

{history.compared(entries)}
![The ratios in brackets, from release to release]({picture})
"""


def write(path: Path, rounds: int, quiet: Quiet, parts: Sequence[str]) -> None:
    intro = f"""# Benchmarks

Written by `make bench`: medians of {rounds} rounds. Measured on {machine()}. The
machine was {"quiet" if quiet.enough else "NOT quiet"}: {quiet}. Ratios hold from machine to machine, absolute
numbers do not.

"""
    path.write_text(intro + "\n".join(parts))


def all_systems(names: Sequence[str]) -> list[System]:
    """Those of these names, or all, in the order of the table."""
    return [system for system in SYSTEMS if not names or system.name in names]
