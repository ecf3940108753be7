"""Kills a script at random moments and starts it again, until it is through; then each item must have run once.

    make again                      # 20 kills of one that attaches, 10 of one with a memo
    make again ARGS='attach=50 --seed 7'

The worker lives. What the script pushes, and is not through with when it dies, goes on, and who comes next goes on
waiting for it. At the end the script with the memo runs once more, with all its maps deleted: nothing runs again.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskq import MapJob, Queue
from taskq.redis.connection import connect
from taskq.redis.server import private_server
from tests.acceptance.worker import ROOT
from tests.again.script import ITEMS
from tests.waiting import HANGS

USUAL = {"attach": 20, "memo": 10}
LONGEST = 4.0  # seconds for which the script may live before it is killed


def started(url: str, ledger: Path, scene: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.again.script", url, str(ledger), scene]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def runs(ledger: Path) -> Counter[int]:
    return Counter(int(n) for one in ledger.parent.glob(f"{ledger.name}.*") for n in one.read_text().split())


def kill_often(url: str, ledger: Path, scene: str, times: int, chance: random.Random) -> None:
    """Kill the script so often, each time at another moment; if it is through before, that is no kill."""
    killed, longest = 0, LONGEST
    while killed < times:
        script, began = started(url, ledger, scene), time.monotonic()
        try:
            script.wait(chance.uniform(0.1, longest))
        except subprocess.TimeoutExpired:
            script.kill()
            script.wait()
            killed += 1
        else:
            longest = time.monotonic() - began


def through(url: str, ledger: Path, scene: str) -> None:
    said, _ = started(url, ledger, scene).communicate(timeout=10 * HANGS)
    assert said == "through\n", said
    assert runs(ledger) == Counter(range(ITEMS)), {n: count for n, count in runs(ledger).items() if count != 1}


@contextmanager
def worker(url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "taskq_workers", "worker", "--url", url, "--processes", "2"]
    process = subprocess.Popen([*command, "--log-level", "critical"], cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(HANGS)


def look(scene: str, times: int, seed: int) -> None:
    """One scene, with a line about it."""
    began = time.monotonic()
    chance = random.Random(f"{seed} {scene}")
    with tempfile.TemporaryDirectory() as folder, private_server() as url, worker(url):
        ledger = Path(folder) / "ledger"
        kill_often(url, ledger, scene, times, chance)
        through(url, ledger, scene)
        queue = Queue(connection=connect(url))
        if scene == "memo":
            for job_id in queue.finished_job_registry.get_job_ids():
                MapJob.fetch(job_id, connection=queue.connection, serializer=queue.serializer).delete()
            through(url, ledger, scene)
        queue.connection.close()
    seconds = time.monotonic() - began
    print(f"{scene}: killed {times} times, {ITEMS} items, each ran once; {seconds:.0f} s, seed {seed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.again")
    usual = " ".join(f"{scene}={times}" for scene, times in USUAL.items())
    parser.add_argument("scenes", nargs="*", help=f"scene=kills; default: {usual}")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    chosen = dict(one.split("=") for one in options.scenes) or USUAL
    for scene, times in chosen.items():
        look(scene, int(times), options.seed)


if __name__ == "__main__":
    main()
