"""A service whose installation has changed: it starts no pool process, and does so again when that is back."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import queue, sys, time
from dataclasses import replace
from taskq_workers import build
from taskq_workers.lanes import lanes
from taskq_workers.settings import Settings

deaths, done = queue.SimpleQueue(), queue.SimpleQueue()
settings = Settings("redis://127.0.0.1:1", processes=2, build="another")
row = lanes.Lanes(settings, "test", lambda lane, ends: done.put(ends), deaths.put)
row.fill()
for _ in row.pids:  # the forkserver may end with the first, and then the second is not started
    row.bury(deaths.get(timeout=float(sys.argv[1])))
assert row.pids == (), row.pids
assert "has changed under this worker" in row.trouble
assert row.due - time.monotonic() > 20, "it does not try again at once"
row.fill()
assert row.pids == ()

lanes.context((), (), build.installed())  # as it was
while len(row.pids) < 2:  # the forkserver of the other build may still be ending, and then it is tried again
    row._wait_until = 0.0
    row.fill()
for lane in row:
    lane.say_when_ready()
    done.get(timeout=float(sys.argv[1]))
assert row.trouble == "", row.trouble
row.close()
"""


def test_it_starts_none_and_later_some() -> None:
    from tests.waiting import HANGS

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(HANGS)], capture_output=True, text=True, timeout=2 * HANGS, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert ended.stderr.count("has changed under this worker") == 1
    assert "Traceback" not in ended.stderr
