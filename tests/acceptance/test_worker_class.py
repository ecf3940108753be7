"""Scripts that make a worker of RQ's, or start a pool of them."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import rq

import taskq
from taskq import OptionError, Queue
from tests import jobs, rq_jobs
from tests.acceptance.worker import ROOT, Workers, environment
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


def test_it_works_as_rq_s_and_says_whether_it_did(real_queue: Queue) -> None:
    connection = real_queue.connection
    worker = taskq.Worker([real_queue.name], connection=connection, name="mine:1[a]", processes=2)
    assert isinstance(worker, rq.Worker)
    assert not worker.work(burst=True, logging_level=logging.WARNING, max_idle_time=0.5)
    job, mapped = real_queue.enqueue(jobs.square, 3), real_queue.map(jobs.square, range(4))
    bad = real_queue.enqueue(jobs.invert, 0)
    queues = [rq.Queue("other", connection=connection), rq.Queue(real_queue.name, connection=connection)]
    worker = taskq.Worker(queues, name="mine:2[b]", exception_handlers=[rq_jobs.note_failure], processes=1)
    assert worker.work(burst=True, max_jobs=100)
    assert (job.return_value(), mapped.get()) == (9, [0, 1, 4, 9])
    assert bad.get_meta(refresh=True) == {"noted": "ZeroDivisionError"}


def test_a_subclass_s_hooks_are_called_and_others_refused(real_queue: Queue) -> None:
    job = real_queue.enqueue(jobs.square, 3)
    assert rq_jobs.Noting([real_queue.name], connection=real_queue.connection, processes=1).work(burst=True)
    assert job.get_meta(refresh=True) == {"noted": "tests.jobs.square"}
    with pytest.raises(taskq.UsageError, match="exit code 1"):
        rq_jobs.OwnTaskqWay([real_queue.name], connection=real_queue.connection, processes=1).work(burst=True)


def test_what_no_process_can_import_is_refused(real_queue: Queue) -> None:
    for handler, says in ((lambda *_: None, "put it into a module"), ([1].append, "sent by name")):
        worker = taskq.Worker([real_queue.name], connection=real_queue.connection, exception_handlers=[handler])
        with pytest.raises(OptionError, match=says):
            worker.work(burst=True)


def test_a_signal_lets_it_end_what_runs(real_queue: Queue, server_url: str, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(f"""
        from redis import Redis
        import taskq
        taskq.Worker(["default"], connection=Redis.from_url({server_url!r}), processes=1).work(with_scheduler=True)
        print("has ended")
    """)
    )
    flag = tmp_path / "flag"
    job = real_queue.enqueue(jobs.wait_for, str(flag))
    process = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)),
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    wait_until(lambda: job.is_started)
    process.send_signal(signal.SIGTERM)
    flag.touch()
    said, _ = process.communicate(timeout=HANGS)
    assert (said, process.returncode) == ("has ended\n", 0)
    assert job.is_finished


def test_worker_pool_takes_rq_s_options(workers: Workers, real_queue: Queue) -> None:
    job = real_queue.enqueue(jobs.square, 3)
    command = [sys.executable, "-m", "taskq", "worker-pool", "-b", "-n", "3", "-l", "INFO", "default"]
    variables = environment(TASKQ_URL=workers.url)
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=HANGS, check=True
    )
    assert "ready: runs jobs of default on 3 pool processes" in done.stderr
    assert job.return_value(refresh=True) == 9
