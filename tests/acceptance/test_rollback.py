"""A server that dies and comes back as it was some moments before, as with ``appendfsync everysec``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taskq import Queue
from tests import jobs
from tests.acceptance.worker import Server, Workers
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


class Past:
    """What the server has on its disk now, to go back to."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._files = server.path.parent / "appendonlydir"
        self._copy = folder / "past"
        server.freeze()
        shutil.copytree(self._files, self._copy)
        server.thaw()

    def come_back(self) -> None:
        self._server.kill()
        shutil.rmtree(self._files)
        shutil.copytree(self._copy, self._files)
        self._server.start()


@pytest.mark.parametrize(("first", "last"), [(0, 8), (4, 24)], ids=["in the middle", "at the end"])
def test_a_map_goes_on(workers: Workers, server: Server, tmp_path: Path, first: int, last: int) -> None:
    server.start()
    worker = workers.start("--processes", "2", url=server.url).wait_until_ready()
    queue = Queue(url=server.url)
    job = queue.map(jobs.nap, [0.06 + n / 1e6 for n in range(24)], chunksize=1)
    wait_until(lambda: job.progress.done >= first)
    past = Past(server, tmp_path)
    wait_until(lambda: job.progress.done >= last)
    past.come_back()
    assert job.get(timeout=HANGS) == [0.06 + n / 1e6 for n in range(24)]
    assert len(job.result_list) == 24
    wait_until(lambda: not queue.connection.keys("rq:execution*"))
    assert "Traceback" not in worker.output
    assert worker.stop() == 0


@pytest.mark.parametrize("moment", ["queued", "started"])
def test_a_job_ends_again(workers: Workers, server: Server, tmp_path: Path, moment: str) -> None:
    server.start()
    worker = workers.start("--processes", "1", url=server.url).wait_until_ready()
    queue, flag = Queue(url=server.url), tmp_path / "flag"
    if moment == "queued":
        queue.enqueue(jobs.wait_for, str(flag))
    job = queue.enqueue(jobs.wait_for, str(flag))
    wait_until(lambda: job.get_status() == moment)
    past = Past(server, tmp_path)
    flag.touch()
    wait_until(lambda: job.get_status() == "finished")
    past.come_back()
    wait_until(lambda: job.get_status() == "finished")
    assert job.return_value() == str(flag)
    wait_until(lambda: not queue.connection.keys("rq:execution*"))
    assert "Traceback" not in worker.output
    assert worker.stop() == 0


def test_what_was_never_pushed_is_let_go(workers: Workers, server: Server, tmp_path: Path) -> None:
    server.start()
    worker = workers.start("--processes", "2", url=server.url).wait_until_ready()
    queue, flag = Queue(url=server.url), tmp_path / "flag"
    past = Past(server, tmp_path)
    pushed = [queue.enqueue(jobs.wait_for, str(flag)), queue.map(jobs.wait_for, [str(flag)] * 30, chunksize=1)]
    wait_until(lambda: all(job.get_status() == "started" for job in pushed))
    past.come_back()
    flag.touch()
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    wait_until(lambda: not queue.connection.keys("rq:execution*"))
    names = b" ".join(queue.connection.keys("*")).decode()
    assert not any(job.id in names for job in pushed)
    assert "Traceback" not in worker.output
    assert worker.stop() == 0
