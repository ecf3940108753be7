"""``python -m tests.simulation``: many worlds, or one again."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--seed", type=int)
    chosen = options.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # else sets are in another order each time, and nothing repeats
        os.execve(  # noqa: S606 - the same program, once more
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    from tests.simulation import patches, plan
    from tests.simulation.world import World

    clock = time.process_time
    patches.apply()
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    began = clock()
    failed = []
    for seed in seeds:
        world = World(plan.draw(seed))
        try:
            world.run()
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            if chosen.seed is not None:
                print(world.story)
                traceback.print_exception(error)
        else:
            if chosen.seed is not None:
                print(world.story)
    print(f"{len(seeds)} worlds, {len(failed)} failed, {clock() - began:.1f} s CPU")
    sys.exit(bool(failed))


main()
