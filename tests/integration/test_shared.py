"""Large objects on real pool processes: read once for the host, in memory that all have in common; then gone."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import taskq
from taskq import Queue
from taskq.maps.reader import MapReader
from taskq.testing import running_worker
from taskq_workers.link import host_file
from taskq_workers.link.host_file import HostFile
from tests.waiting import HANGS, wait_until

MIB = 1 << 20
TABLE = np.random.default_rng(1).random(8 * MIB // 8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return host_file.folder()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The pieces that services of this process have read."""
    pieces: list[str] = []
    piece = MapReader.piece

    def note(self: MapReader, told: Any, number: int) -> bytes:
        pieces.append(f"{told.digest[:8]}:{number}")
        return piece(self, told, number)

    monkeypatch.setattr(MapReader, "piece", note)
    yield pieces
    assert len(pieces) == len(set(pieces)), "the host has read something twice"


def anonymous() -> float:
    """MiB of this process's memory that no file stands behind: what only it has mapped of one is no copy."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def total(table: Any, n: int) -> tuple[float, bool, int, float]:
    """What it adds up to, whether it can be written to, and who says that with how much memory of its own."""
    found = float(table.sum()) + n
    time.sleep(0.02)  # so that each process gets some of them
    return found, table.flags.writeable, os.getpid(), anonymous() if sys.platform == "linux" else 0.0


def test_the_host_has_it_once(fake_queue: Queue, read: list[str], folder: Path) -> None:
    """Two services, and nothing is read twice, nor does a process have a copy of its own."""
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(running_worker(fake_queue, processes=1))
        before = fake_queue.map(total, repeat(np.zeros(3)), range(8), chunksize=1).get(timeout=HANGS)
        job = fake_queue.map(partial(total, TABLE), range(16), chunksize=1)
        [told] = job.store.info().terms.large
        kept = HostFile(told)  # a guest may leave, and come again
        wait_until((folder / told.digest).exists)
        assert kept.claim()
        results = job.get(timeout=HANGS)
        kept.close()
        assert [found - n for n, (found, *_) in enumerate(results)] == pytest.approx([float(TABLE.sum())] * 16)
        assert {writeable for _, writeable, *_ in results} == {False}
        assert len(read) == 9
        was, now = ({pid: mib for *_, pid, mib in some} for some in (before, results))
        assert len(set(was) & set(now)) == 2
        if sys.platform == "linux":
            assert max(now[pid] - was[pid] for pid in set(was) & set(now)) < 4
        wait_until(lambda: not [*folder.iterdir()])


def test_also_what_items_hold_and_what_is_shared_by_hand(fake_queue: Queue, read: list[str], folder: Path) -> None:
    with running_worker(fake_queue), fake_queue.share(TABLE[: 3 * MIB // 8]) as shared:
        job = fake_queue.map(total, repeat(TABLE), range(8))
        assert {writeable for _, writeable, *_ in job.get(timeout=HANGS)} == {False}
        assert len(read) == 9
        for _ in range(2):
            fake_queue.map(partial(total, shared), range(4)).get(timeout=HANGS)
        read[:] = set(read)  # the second map reads it again: the first one's file was gone
        wait_until(lambda: not [*folder.iterdir()])


def test_a_process_that_is_killed_over_it(fake_queue: Queue, tmp_path: Path) -> None:
    mark = tmp_path / "killed"

    def once(table: Any, n: int) -> float:
        if n == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(table[n])

    with running_worker(fake_queue):
        job = fake_queue.map(partial(once, TABLE), range(8), chunksize=1)
        assert job.get(timeout=HANGS) == [float(one) for one in TABLE[:8]]
    assert mark.exists()


def test_what_is_damaged_fails_the_map(any_queue: Queue) -> None:
    job = any_queue.map(partial(total, TABLE), range(4))
    key = job.store.keys.blobs
    field = min(any_queue.connection.hkeys(key))
    piece = any_queue.connection.hget(key, field)
    any_queue.connection.hset(key, field, piece[:-1] + bytes([piece[-1] ^ 1]))
    with (
        running_worker(any_queue),
        pytest.raises((taskq.MapFailedError, taskq.DamagedError), match="a large object was changed"),
    ):
        job.get(timeout=HANGS)


def test_no_room_for_it_here(fake_queue: Queue, folder: Path) -> None:
    folder.chmod(0o755)
    with (
        running_worker(fake_queue),
        pytest.raises(taskq.MapFailedError, match=r"can't be kept .* is not a folder of this user's alone"),
    ):
        fake_queue.map(partial(total, TABLE), range(4)).get(timeout=HANGS)
