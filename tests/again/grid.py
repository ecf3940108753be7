"""Kills a grid search again and again (``make joblib-again``): each of its 48 fits runs once, and later none.

    make joblib-again
    make joblib-again ARGS='--kills 30 --seed 7'

The worker lives. What the search had submitted when it was killed goes on; who comes next waits for that, takes
what is there, and submits the rest. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from taskq.redis.server import private_server
from tests.acceptance.worker import ROOT
from tests.again.__main__ import worker
from tests.waiting import HANGS, wait_until

CANDIDATES, SPLITS = 16, 3
FITS = CANDIDATES * SPLITS
KILLS = 10
MOST = 6  # fits that have begun since the search did, when it is killed
NONE = 1.0  # seconds which a search may take of which all is known


def started(url: str, ledger: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.again.search", url, str(ledger)]
    script = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert script.stdout is not None
    assert script.stdout.readline() == "begins\n"
    return script


def fits(ledger: Path) -> Counter[str]:
    return Counter(line for one in ledger.parent.glob(f"{ledger.name}.*") for line in one.read_text().split())


def through(url: str, ledger: Path) -> tuple[float, str]:
    """Let it end; returns the seconds that it took, and what it has found."""
    said, _ = started(url, ledger).communicate(timeout=10 * HANGS)
    word, seconds, found = said.split()
    assert word == "through"
    return float(seconds), found


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.again.grid")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    chance, began = random.Random(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, private_server() as url, worker(url):
        ledger, early = Path(folder) / "ledger", 0
        for _ in range(options.kills):
            goal = fits(ledger).total() + chance.randint(0, MOST)
            script = started(url, ledger)
            wait_until(lambda: script.poll() is not None or fits(ledger).total() >= goal)  # noqa: B023 - used here
            early += script.poll() is None
            script.kill()
            script.wait()
        seconds, found = through(url, ledger)
        counted = fits(ledger)
        assert counted.total() == len(counted) == FITS, counted
        again, same = through(url, ledger)
        assert fits(ledger) == counted, "a search of which all is known has run something"
        assert same == found
        assert again < NONE, f"it took {again:.2f} s, and has run nothing"
    print(
        f"killed {options.kills} times, {early} of them in the middle, then through in {seconds:.1f} s: {FITS} "
        f"fits in all, each once. Once more: none, in {again:.2f} s. "
        f"{time.monotonic() - began:.0f} s, seed {options.seed}"
    )


if __name__ == "__main__":
    main()
