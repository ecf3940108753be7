"""``make fleet``: the tables of docs/scaling.md.

make fleet                     all of them: some minutes
make fleet ARGS='--quick'      fewer services in the simulator
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import fields

from tests.fleet import costs, model, traffic
from tests.fleet.costs import Costs
from tests.fleet.model import Case
from tests.fleet.traffic import NONE, Work

CASES = (
    Case(1_000, 1, 60), Case(10_000, 1, 10), Case(10_000, 1, 25), Case(10_000, 1, 60), Case(10_000, 0.1, 300),
    Case(10_000, 0.01, 1_000), Case(10_000, 10, 20), Case(10_000, 3_600, 2), Case(64_000, 1, 60),
    Case(64_000, 60, 20), Case(64_000, 3_600, 2),
)  # fmt: skip


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|---|" + "--:|" * (len(head) - 1))
    for line in lines:
        print("| " + " | ".join(map(str, line)) + " |", flush=True)
    print()


def print_costs(found: Costs) -> None:
    said = dict(
        line.strip().split(": ", 1) for line in (Costs.__doc__ or "").splitlines() if ": " in line
    )  # what each of them is
    rounded = costs.rounded(found)
    table(("what", "us of the server"), [(said[one.name], rounded[one.name]) for one in fields(Costs)])


def print_traffic(counts: Sequence[int]) -> None:
    lines = []
    for what, busy in (("nothing to do", False), ("half of the processes run the last chunks of a map", True)):
        for services in counts:
            found = traffic.count(services, 2, Work(services, 60.0) if busy else NONE)
            lines.append((what, services, f"{found.bytes_each:,.0f}", f"{found.notes_each:.1f}"))
    table(("", "services", "bytes/s each", "notes/s each"), lines)


def print_model(found: Costs) -> None:
    lines = []
    for case in CASES:
        came = model.run(case, found)
        lines.append((
            f"{case.cores:,} cores, {case.items:,} items of {case.seconds:g} s", f"{came.chunks:,.0f}",
            f"{came.busy:.0%}", f"{came.beside:.0%}", f"{came.took:.2f}",
        ))  # fmt: skip
    table(("", "chunks/s", "server, for chunks", "server, beside them", "times the least"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found = costs.least(1 if options.quick else 3)
    print_costs(found)
    sizes = costs.sizes()
    print(f"A service of {costs.PROCESSES} processes says {sizes['register']:,} bytes of itself, and "
          f"{sizes['activity']:,} of what it does.\n")  # fmt: skip
    print_model(found)
    print_traffic((10, 40) if options.quick else (10, 40, 160))


if __name__ == "__main__":
    main()
