"""``make chaos SECONDS=600 SEED=7``: a long run, and its report."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the monkey is loose [60]")
    parser.add_argument("--seed", type=int, default=None, help="of everything that is done [a new one]")
    parser.add_argument("--runs", type=int, default=1, help="so many runs, with the seeds from there on [1]")
    parser.add_argument("--keep", action="store_true", help="keep logs and ledger also of a good run")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    failed = 0
    for seed in range(first, first + options.runs):
        folder = Path(tempfile.mkdtemp(prefix=f"taskq-chaos-{seed}-"))
        with (folder / "monkey.log").open("w") as diary:

            def log(line: str, diary: object = diary) -> None:
                print(line, file=diary, flush=True)  # type: ignore[call-overload]

            report = run(seed, options.seconds, folder, log)
        (folder / "report.txt").write_text(f"{report}\n")
        print(report, flush=True)  # noqa: T201 - it is what a person waits for
        failed += bool(report.problems)
        if not (report.problems or options.keep):
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
