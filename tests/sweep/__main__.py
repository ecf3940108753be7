"""make sweep: all mixes, each on workers of its own size, as a table; ends with 1 if one is not as it should be.

Items sleep, so a machine with few cores will do if nothing else runs on it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from taskq.redis.connection import connect
from taskq.redis.server import private_server
from tests.acceptance.worker import Workers
from tests.sweep.measure import Seen, faults, measure, warm_up
from tests.sweep.mixes import Mix, mixes, workers

HEAD = ("worker", "maps", "chunksize", "newcomers", "job", "small map", "meanwhile", "least, most", "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    for name, kind in (("seconds", float), ("maps", int), ("services", int), ("processes", int)):
        parser.add_argument(f"--{name}", type=kind, nargs="*", help="only these")
    told = vars(parser.parse_args())

    def wanted(**values: float) -> bool:
        return all(value in (told[name] or [value]) for name, value in values.items())

    print(*HEAD, sep=" | ")
    print(*("---" for _ in HEAD), sep=" | ")
    wrong = 0
    for services, processes in workers():
        if wanted(services=services, processes=processes):
            chosen = [mix for mix in mixes() if wanted(seconds=mix.seconds, maps=mix.maps)]
            for mix, seen in _measured(chosen, services, processes):
                found = faults(mix, services, services * processes, seen)
                wrong += bool(found)
                print(*_row(mix, services, processes, seen), "; ".join(found) or "ok", sep=" | ", flush=True)
    return min(wrong, 1)


def _measured(chosen: list[Mix], services: int, processes: int) -> Iterator[tuple[Mix, Seen]]:
    with private_server() as url, tempfile.TemporaryDirectory() as folder, connect(url) as connection:
        fleet = Workers(url, Path(folder))
        try:
            fleet.ready(processes, "high", "low", services=services)
            warm_up(connection, services * processes)
            for mix in chosen:
                yield mix, measure(connection, mix, services * processes)
        finally:
            fleet.close()


def _row(mix: Mix, services: int, processes: int, seen: Seen) -> Iterator[str]:
    yield f"{services} x {processes}"
    yield f"{mix.maps} x {mix.seconds:g} s"
    yield str(mix.chunksize or "taskq's")
    yield "in a queue before" if mix.before else "in the same queue"
    yield f"{seen.job:.2f} s"
    yield f"{seen.small:.2f} s"
    yield str(seen.between)
    yield f"{seen.least:.2f} s, {seen.most:.2f}"


if __name__ == "__main__":
    sys.exit(main())
