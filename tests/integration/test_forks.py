"""Job code that forks: only the process that was started answers, and goes on."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from rq import Callback

from taskq import Queue
from taskq.payload import codec
from taskq.testing import running_worker
from taskq_workers.lanes import lone_pool
from taskq_workers.lanes.lane import Lane
from taskq_workers.link.tasks import JobTask
from taskq_workers.settings import Settings
from tests import forking, jobs
from tests.acceptance.worker import ROOT, environment
from tests.waiting import HANGS, wait_until

WAYS = (forking.by_exit, forking.by_exception, forking.by_the_end, forking.in_c)


def lanes_children(state: Any) -> set[int]:
    """The pids of all processes that the forkserver has, dead ones of job code aside."""
    parent = psutil.Process(next(iter(state.lanes)).pid).parent()
    assert parent is not None
    return {child.pid for child in parent.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize("function", WAYS)
def test_no_child_comes_back_from_an_item(fake_queue: Queue, function: Any) -> None:
    with running_worker(fake_queue) as state:
        assert fake_queue.map(function, range(6), chunksize=2).get(timeout=HANGS) == [0, 10, 20, 30, 40, 50]
        assert fake_queue.map(jobs.square, range(50), chunksize=2).get(timeout=HANGS) == [n * n for n in range(50)]
        wait_until(lambda: lanes_children(state) == set(state.lanes.pids))


@pytest.mark.parametrize("function", WAYS)
def test_no_child_comes_back_from_a_plain_job(fake_queue: Queue, function: Any) -> None:
    with running_worker(fake_queue) as state:
        pushed = [fake_queue.enqueue(function, n) for n in range(40)]  # short ones: some travel in batches
        wait_until(lambda: all(job.get_status() == "finished" for job in pushed))
        assert [job.return_value(refresh=True) for job in pushed] == [10 * n for n in range(40)]
        wait_until(lambda: lanes_children(state) == set(state.lanes.pids))


def test_no_child_comes_back_from_pickling_a_result(fake_queue: Queue) -> None:
    with running_worker(fake_queue) as state:
        assert fake_queue.map(forking.when_pickled, range(4), chunksize=2).get(timeout=HANGS) == [10] * 4
        wait_until(lambda: lanes_children(state) == set(state.lanes.pids))


def test_a_child_ends_as_a_program_does(fake_queue: Queue) -> None:
    with running_worker(fake_queue):
        ways = ["zero", "three", "text", "error", "end"]
        assert fake_queue.map(forking.and_exit_code, ways).get(timeout=HANGS) == [0, 3, 1, 1, 0]


def test_callbacks_are_called_by_the_process_that_was_started_alone(real_queue: Queue) -> None:
    callback = Callback(forking.callback)
    with running_worker(real_queue) as state:
        pushed = [
            real_queue.enqueue(forking.by_exit, 1, on_success=callback),
            real_queue.enqueue(forking.fail_after_fork, 1, on_failure=callback),
            real_queue.map(forking.by_exit, range(2), on_success=callback),
            real_queue.map(forking.fail_after_fork, range(2), on_failure=callback),
        ]
        wait_until(lambda: all(job.get_status() in ("finished", "failed") for job in pushed))
        counts = [real_queue.connection.get(f"test:callback:{job.id}") for job in pushed]
        assert counts == [b"1"] * 4
        wait_until(lambda: lanes_children(state) == set(state.lanes.pids))


def test_a_stock_worker_is_not_doubled_either(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from taskq.testing import drain, make_fake_queue\n"
        "from tests import forking\n"
        "q = make_fake_queue()\n"
        "for way in (forking.by_exit, forking.by_exception, forking.by_the_end):\n"
        "    job = q.map(way, range(4), chunksize=2)\n"
        "    drain(q)\n"
        "    print(job.get(), flush=True)\n"
    )
    done = subprocess.run([sys.executable, str(program)], env=environment(), capture_output=True, text=True,
                          timeout=HANGS, check=True)  # fmt: skip
    assert done.stdout == "[0, 10, 20, 30]\n" * 3


def test_nor_by_a_module_that_forks_when_a_function_of_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "forks_when_imported.py").write_text(
        "import os, sys\nif os.fork() == 0:\n    sys.exit(0)\ndef f(n): return n\n"
    )
    program = (
        "from taskq.testing import drain, make_fake_queue\n"
        "q = make_fake_queue()\n"
        "job = q.map('forks_when_imported.f', range(4))\n"
        "drain(q)\n"
        "print(job.get(errors='return'), flush=True)\n"
    )
    variables = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True,
                          timeout=HANGS, check=True)  # fmt: skip
    assert (done.stdout, done.stderr.count("MapFailedError")) == ("[0, 1, 2, 3]\n", 0)


def test_a_module_to_preload_which_forks(fake_queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "forks_when_imported.py").write_text("import os, sys\nif os.fork() == 0:\n    sys.exit(0)\n")
    program = (
        "import sys, subprocess\n"
        "from taskq_workers.process import preload\n"
        "preload.load(['forks_when_imported'])\n"
        "print('once', flush=True)\n"
    )
    variables = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True,
                          timeout=HANGS, check=True)  # fmt: skip
    assert done.stdout == "once\n"


def test_the_end_of_a_lane_does_not_wait_for_what_its_job_left_behind(tmp_path: Path) -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
    flag = tmp_path / "flag"
    settings = Settings(url="redis://127.0.0.1:1")
    one = Lane(0, lone_pool.context(), settings, "lane", lambda *end: ends.put(end), lambda _lane: None)
    data = codec.dumps(("tests.forking.leave_a_daemon", None, (str(flag),), {}))
    one.submit(1, JobTask("job", {b"data": data, b"timeout": b"-1", b"origin": b"default"}, "worker"), None)
    (_lane, [(_number, outcome)]) = ends.get(timeout=HANGS)
    assert outcome.error is None
    threads = [one._pool._worker_handler, one._pool._task_handler, one._pool._result_handler]
    try:
        one.discard()
        assert not any(thread.is_alive() for thread in threads)
    finally:
        flag.touch()
