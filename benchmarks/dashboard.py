"""How long the page takes with next to nothing in Redis, and with 200,000 finished jobs and 50 running maps.

    python -m benchmarks.dashboard

Runs beside no other work; needs Chromium (``make browser``). The jobs are written as RQ stores them, none is run.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from playwright.sync_api import sync_playwright
from rq.job import Job

import taskq
from benchmarks import works
from taskq.payload.outcome import ChunkOutcome
from taskq.redis import keys
from taskq.redis.server import private_server
from taskq.views.timeline import TimelineNote
from taskq_workers.dashboard.app import Dashboard
from taskq_workers.dashboard.server import Server
from taskq_workers.dashboard.settings import DashboardSettings
from taskq_workers.dashboard.snapshot import Reader

JOBS, MAPS, UPDATES = 200_000, 50, 50
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def write_jobs(queue: taskq.Queue, count: int) -> None:
    """Finished jobs, as RQ leaves them."""
    template = queue.create_job(works.noop, (1,)).to_dict()
    template |= {"status": "finished", "started_at": template["created_at"], "ended_at": template["created_at"]}
    for first in range(0, count, 5000):
        with queue.connection.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + 5000, count)):
                pipe.hset(Job.key_for(f"job-{number}"), mapping=template)
                pipe.zadd(queue.finished_job_registry.key, {f"job-{number}": time.time() + 1e6})
            pipe.execute()


def write_maps(queue: taskq.Queue, count: int) -> list[taskq.MapJob]:
    """Maps of 2000 chunks, of which some are claimed, and which RQ says are running."""
    maps = []
    for number in range(count):
        job = queue.map(works.noop, range(2000), chunksize=1)
        job.store.open("worker")
        job.store.claim("worker", 4)
        job.set_status("started")
        queue.connection.zadd(queue.started_job_registry.key, {f"{job.id}:{number}": time.time() + 1e6})
        maps.append(job)
    return maps


def commit(maps: list[taskq.MapJob], count: int) -> None:
    """As many chunks end, of all maps in turn."""
    for number in range(count):
        store = maps[number % len(maps)].store
        [claim] = store.read_claims(store.claim("worker", 1), "worker").claims
        outcome = ChunkOutcome([b"N."], [(claim.range.start, 1)], [], time.time() - 0.05, 0.05)
        store.commit(claim, outcome, TimelineNote(f"host-{number % 4}", "worker", 1, number % 16))


def updates(queue: taskq.Queue, maps: list[taskq.MapJob]) -> tuple[float, float, int]:
    """Median and worst milliseconds of reading what an update shows, and its commands."""
    reader = Reader(queue.connection)
    reader.read()
    times, commands = [], 0
    for _ in range(UPDATES):
        commit(maps, 20)
        before = queue.connection.info("stats")["total_commands_processed"]
        began = time.perf_counter()
        reader.read()
        times.append((time.perf_counter() - began) * 1000)
        commands = queue.connection.info("stats")["total_commands_processed"] - before - 1
    return statistics.median(times), max(times), commands


@contextmanager
def served(url: str, queue: taskq.Queue) -> Iterator[str]:
    settings = DashboardSettings(url, port=0)
    server = Server(settings, Dashboard(settings, queue.connection))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def in_browser(address: str) -> tuple[float, float]:
    """Median milliseconds from opening the page to its numbers, and of one update in the page itself."""
    program = os.environ.get("TASKQ_CHROMIUM") or shutil.which("chromium")
    loads: list[float] = []
    draws: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for _ in range(5):
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_selector("#maps tr")
            loads.append((time.perf_counter() - began) * 1000)
            page.wait_for_selector("html[data-updates='4']")
            draws.append(float(page.locator("html").get_attribute("data-milliseconds") or 0))
            page.close()
        browser.close()
    return statistics.median(loads), statistics.median(draws)


def measure(jobs: int, maps: int) -> dict[str, Any]:
    with private_server() as url:
        queue = taskq.Queue(url=url)
        write_jobs(queue, jobs)
        running = write_maps(queue, maps)
        commit(running, 2000 if jobs > 1000 else 40)  # noqa: PLR2004
        median, worst, commands = updates(queue, running)
        with served(url, queue) as address:
            load, draw = in_browser(address)
        memory = queue.connection.info("memory")["used_memory"] / 2**20
        entries = queue.connection.xlen(keys.TIMELINE)
        queue.connection.close()
    return {
        "jobs": jobs, "maps": maps, "timeline": entries, "redis MiB": round(memory), "commands": commands,
        "read ms": round(median, 1), "worst ms": round(worst, 1), "load ms": round(load), "draw ms": draw,
    }  # fmt: skip


def main() -> None:
    for jobs, maps in ((2, 2), (2, MAPS), (JOBS, MAPS)):
        print(json.dumps(measure(jobs, maps)), flush=True)


if __name__ == "__main__":
    main()
