"""Run all measurements and write docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import taskq
from benchmarks import measure

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def table(title: str, head: measure.Row, rows: list[measure.Row]) -> str:
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join(lines) + "\n"
    print(text, flush=True)
    return text


def main() -> None:
    processes = os.cpu_count() or 1
    parts = []
    with taskq.local(processes=processes) as q:
        redis = q.connection.info("server")
        server = f"{redis.get('server_name', 'redis')} {redis.get('valkey_version') or redis['redis_version']}"
        parts += [
            table(
                "Maps beside a bare multiprocessing.Pool",
                ("map", "taskq", "Pool.map", "ratio"),
                measure.beside_a_pool(q, processes),
            ),
            table("Latency", ("work", "median", "99th percentile"), measure.latency(q)),
            table("Memory of a huge map", ("when", "service", "Redis"), measure.memory(q)),
            table(
                "kill -9 in mid-map",
                ("killed", "gap, median", "gap, worst", "results lost", "results doubled"),
                measure.gaps(q),
            ),
        ]
    packages = ", ".join(f"{name} {version(name)}" for name in ("rq", "redis", "hiredis", "cotyledon"))
    intro = f"""# Benchmarks

Written by `make bench`: medians of {measure.ROUNDS} rounds, the alternatives in turn in the same run. Ratios hold
from machine to machine, absolute times do not. A gap runs from the kill to the start of the next chunk in a new
process; the other processes go on meanwhile.

Python {platform.python_version()}, {packages}, {server} on a unix socket; {processes} cores,
one service with {processes} pool processes, {platform.system()} {platform.machine()}.

"""
    PAGE.write_text(intro + "\n".join(parts))


if __name__ == "__main__":
    main()
