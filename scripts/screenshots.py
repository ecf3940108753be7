"""Makes the pictures in docs/images: ``make screenshots`` (needs Chromium: ``make browser``). Takes half a minute.

A private server, two services, and work as it comes: maps of several kinds, plain jobs, items that fail, a process
that is killed, an item that kills every process it runs in.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

import taskq
from taskq.views import activity

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


# Compiled under a name of their own: tracebacks in a picture should not show this machine's paths.
SHOP = """
import os, random, signal, time

def resize_photo(n):
    time.sleep(random.choice([0.08, 0.12, 0.2, 0.3, 0.7]))
    return n

def score_customer(n):
    time.sleep(random.uniform(0.02, 0.1))
    if n % 37 == 5:
        raise ValueError(f"customer {n} has no address")
    return 100 / (n % 53)

def parse_log(n):
    time.sleep(0.05)
    if n == 17:
        os.kill(os.getpid(), signal.SIGSEGV)
    return n

def send_invoice(number):
    time.sleep(0.3)
    return f"invoice {number}"
"""


def wait_until(condition: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("the pictures' work does not go as it should")
        time.sleep(0.05)


def work(queue: taskq.Queue) -> taskq.MapJob:
    """Push what is to be seen, and kill a process in the middle of it; returns a map that has ended."""
    shop: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SHOP, "shop.py", "exec"), shop)  # noqa: S102 - see SHOP
    scored = queue.map(shop["score_customer"], range(400), chunksize=2)
    parsed = queue.map(shop["parse_log"], range(24), chunksize=4)
    parsed.wait(40)
    queue.map(shop["resize_photo"], range(900), chunksize=1)
    for number in range(6):
        queue.enqueue(shop["send_invoice"], 2300 + number)
    scored.wait(40)
    queue.map(shop["send_invoice"], range(300), chunksize=1)
    victim = next(one.pid for told in activity.live(queue.connection) for one in told.processes if one.job)
    time.sleep(3)
    os.kill(victim, signal.SIGKILL)
    time.sleep(6)
    return scored


@contextmanager
def page_of(url: str) -> Iterator[str]:
    """The page for this Redis; yields its address."""
    command = [sys.executable, "-m", "taskq", "dashboard", "--url", url, "--port", "0", "--allow-actions"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://[\d.:]+", line):
                yield found[0]
                break
    finally:
        process.terminate()
        process.wait(10)


def picture(
    browser: Browser, address: str, name: str, act: Callable[[Any], object] | None = None, **options: Any
) -> None:
    """One picture of the page as a whole."""
    page = browser.new_page(**options)
    page.goto(address)
    page.wait_for_selector("#live.on")
    page.select_option("#window", "30")
    if act:
        act(page)
    page.wait_for_timeout(2500)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=str(IMAGES / f"{name}.png"), full_page=True)
    page.close()


def open_errors(page: Any) -> None:
    page.locator(".error summary").first.click()


def open_jobs(page: Any) -> None:
    page.goto(page.url.partition("#")[0] + "#jobs")
    page.get_by_role("button", name=re.compile("finished jobs of")).click()
    page.wait_for_selector("#jobs tr")


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    program = os.environ.get("TASKQ_CHROMIUM") or "/usr/bin/chromium"
    wide = {"width": 1120, "height": 800}
    with taskq.local(processes=3, services=2, log_level="error") as queue:
        ended = work(queue)
        with page_of(queue_url(queue)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
            picture(browser, address, "dashboard", open_errors, viewport=wide)
            picture(browser, address, "dashboard-dark", viewport=wide, color_scheme="dark")
            phone = {"width": 390, "height": 844}
            picture(browser, address, "dashboard-phone", viewport=phone, is_mobile=True)
            picture(browser, address, "dashboard-jobs", open_jobs, viewport=wide)
            report(browser, queue, ended)
            browser.close()


def queue_url(queue: taskq.Queue) -> str:
    return f"unix://{queue.connection.connection_pool.connection_kwargs['path']}"


def report(browser: Browser, queue: taskq.Queue, job: taskq.MapJob) -> None:
    done = subprocess.run([sys.executable, "-m", "taskq", "report", job.id, "--url", queue_url(queue)],
                          cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.html")
        file.write_text(done.stdout, encoding="utf-8")
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.goto(file.as_uri())
        page.screenshot(path=str(IMAGES / "report.png"), full_page=True)


if __name__ == "__main__":
    main()
