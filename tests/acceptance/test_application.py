"""What an application sets up in its process stays as under RQ's worker: its logging, how it starts processes."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import pytest
from rq.job import JobStatus

from taskq import Queue
from tests.acceptance.worker import Workers
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

JOBS = """
import logging, multiprocessing
{set_up}

def say(n):
    logging.getLogger("shop.orders").info("order %d", n)
    return n

def fail(n):
    raise ValueError(f"no order {{n}}")

base = 40

def forked(n):
    with multiprocessing.Pool(2) as pool:
        return multiprocessing.get_start_method(), sum(pool.imap(add, [n, n + 1]))

def add(n):
    return base + n

def change_and_fork(n):
    global base
    base = n
    process = multiprocessing.Process(target=lambda: queue.put(base))
    queue = multiprocessing.Queue()
    process.start()
    return queue.get()
"""

LOGGING = {
    "version": 1,
    "formatters": {"app": {"format": "APP %(levelname)s %(name)s %(message)s"}},
    "handlers": {"app": {"class": "logging.StreamHandler", "formatter": "app"}},
    "root": {"level": "INFO", "handlers": ["app"]},
}
KEEPS_OTHERS = {"disable_existing_loggers": False}  # else RQ's own lines are gone, as under RQ's worker
BASIC = 'logging.basicConfig(format="APP %(levelname)s %(name)s %(message)s", level=logging.INFO)'
WAYS = {
    "in the job's module": (BASIC, "", []),
    "in a module that is preloaded": ("", BASIC, ["--preload", "shop_settings"]),
    "in the settings module": ("", BASIC, ["--config", "shop_settings"]),
    "dictConfig": (f"import logging.config; logging.config.dictConfig({LOGGING | KEEPS_OTHERS})", "", []),
    "DICT_CONFIG": ("", f"DICT_CONFIG = {LOGGING}", ["--config", "shop_settings"]),
}


@pytest.fixture
def queue(workers: Workers) -> Queue:
    return Queue(url=workers.url)


def run(queue: Queue) -> str:
    """Have a job, an item and a failing job logged; returns the first one's id."""
    job = queue.enqueue("shop.say", 1)
    assert job.latest_result(timeout=HANGS).return_value == 1
    assert queue.map("shop.say", [2, 3], chunksize=1).get(timeout=HANGS) == [2, 3]
    failing = queue.enqueue("shop.fail", 4)
    wait_until(lambda: failing.get_status() == JobStatus.FAILED)
    return str(job.id)


@pytest.mark.parametrize("way", WAYS)
def test_the_application_s_logging_stays(workers: Workers, queue: Queue, tmp_path: Path, way: str) -> None:
    in_module, settings, options = WAYS[way]
    (tmp_path / "shop.py").write_text(JOBS.format(set_up=in_module))
    (tmp_path / "shop_settings.py").write_text(f"import logging\nREDIS_URL = {workers.url!r}\n{settings}")
    worker = workers.ready(1, "--path", str(tmp_path), *options)
    run(queue)
    wait_until(lambda: "ValueError: no order 4" in worker.output)
    assert worker.output.count("order 1\n") == worker.output.count("APP INFO shop.orders order 1\n") == 1
    assert {f"APP INFO shop.orders order {n}" for n in (2, 3)} <= {*worker.output.splitlines()}
    assert re.search(
        r"^APP ERROR rq.worker .*exception raised while executing \(shop.fail\)", worker.output, re.MULTILINE
    )
    assert worker.output.count("ValueError: no order 4") == 1
    assert "finished after" not in worker.output, "of what goes well, nothing is said by itself"
    assert "ready: runs jobs of default" in worker.output, "none of ours has fallen silent"


def test_where_there_is_none_ours_says_where_it_was_said(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(JOBS.format(set_up=""))
    worker = workers.ready(1, "--path", str(tmp_path), "-v")
    job_id = run(queue)
    [name] = [info.name for info in worker.infos]
    wait_until(lambda: "ValueError: no order 4" in worker.output)
    assert re.search(rf" shop.orders: order 1 \[job {job_id}, worker {name}\]$", worker.output, re.MULTILINE)
    assert re.search(rf" shop.orders: order 3 \[job \S+, chunk 1:1, worker {name}\]$", worker.output, re.MULTILINE)
    assert re.search(r" ERROR .* rq.worker: .*exception raised while executing \(shop.fail\)", worker.output)
    assert re.search(rf" DEBUG .*: job {job_id} \(shop.say\) finished after 0.\d+ s", worker.output)
    assert len(re.findall(r"finished after|failed after", worker.output)) == 2


@pytest.mark.parametrize("config", ["{'version': 2}", "7", "{'version': 1, 'root': {'handlers': ['none']}}"])
def test_a_configuration_of_no_use_is_told_at_the_start(workers: Workers, tmp_path: Path, config: str) -> None:
    (tmp_path / "shop_settings.py").write_text(f"DICT_CONFIG = {config}\n")
    worker = workers.start("--path", str(tmp_path), "--config", "shop_settings")
    assert worker.process.wait(HANGS) != 0
    assert "--config shop_settings: DICT_CONFIG" in worker.output


def test_job_code_starts_processes_as_the_platform_does(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(JOBS.format(set_up=""))
    workers.ready(1, "--path", str(tmp_path))
    default = multiprocessing.get_context().get_start_method()
    assert queue.enqueue("shop.forked", 1).latest_result(timeout=HANGS).return_value == (default, 83)
    if default == "fork":  # else neither would work under RQ's worker
        assert queue.map("shop.change_and_fork", [7]).get(timeout=HANGS) == [7]
