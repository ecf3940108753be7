"""``make simulate``: many worlds, each drawn from a seed; or one of them again, as a story.

make simulate SEEDS=100000           the first so many, on all cores
make simulate SEED=40                that one: if it fails, as small as it still fails, told from its beginning
make simulate SEED=40 MUTATION=name  of a product that is wrong in this way (mutations.py; a part of the name does)
make simulate MUTATIONS=1            after how many seeds each way of being wrong is found (or those with MUTATION)
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.many import MAKE_TEST, Tally, command, found_after, processes, run_all, tell
from tests.simulation.mutations import by_name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=MAKE_TEST, help=f"how many worlds [{MAKE_TEST}]")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed [0]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes [all cores]")
    parser.add_argument("--seed", type=int, help="this one's story")
    parser.add_argument(
        "--whole", action="store_true", help="tell it as it was drawn, not as small as it still fails"
    )
    parser.add_argument("--mutation", default="", help="of a product that is wrong in this way")
    parser.add_argument("--mutations", action="store_true", help="after how many seeds each mutation is found")
    return parser.parse_args()


def main() -> int:
    options = _options()
    with processes(options.jobs) as pool:
        if options.seed is not None:
            failed, story = pool.submit(tell, options.seed, options.mutation, shrunk=not options.whole).result()
            print(story)
            return int(failed)
        if options.mutations:
            return _mutations(pool, options.seeds, options.mutation)
        return _worlds(pool, options.first, options.seeds)


def _worlds(pool: ProcessPoolExecutor, first: int, seeds: int) -> int:
    tally = Tally()
    for part in run_all(pool, first, seeds):
        for seed, failure in part.failed.items():
            print(f"seed {seed}: {failure:.300}", flush=True)
        tally.add(part)
    if tally.failed:
        seed = min(tally.failed)
        print(f"\n-- seed {seed}, as small as it still fails --\n{pool.submit(tell, seed).result()[1]}\n")
    print(tally)
    if tally.failed:
        print(f"again: {command(min(tally.failed))}")
    return int(bool(tally.failed))


def _mutations(pool: ProcessPoolExecutor, seeds: int, part: str) -> int:
    never = 0
    for name, seed, failure in found_after(pool, seeds, part):
        never += seed is None
        found = "never" if seed is None else f"{seed + 1:>5}"
        new = f" (its seed is {seed} now)" if seed not in (None, by_name(name).seed) else ""
        print(f"{found}  {name}{new}: {failure:.150}", flush=True)
    return int(bool(never))


if __name__ == "__main__":
    sys.exit(main())
