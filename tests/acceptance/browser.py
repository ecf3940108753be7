"""The page as a process, and a real browser on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.acceptance.worker import ROOT, environment
from tests.waiting import HANGS, wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


class Dashboard:
    """``taskq dashboard`` on a free port."""

    def __init__(self, url: str, log: Path, *arguments: str, **variables: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taskq", "dashboard", "--url", url, "--port", "0", *arguments],
                cwd=ROOT, env=environment(**variables), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(self._listens, "the page is served")

    def _listens(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        return self.address is not None

    @property
    def address(self) -> str | None:
        found = re.search(r"http://[\d.:]+", self._log.read_text())
        return found[0] if found else None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser; without one the test is skipped, and has failed in CI (tests/untested.py)."""
    program = os.environ.get("TASKQ_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        why = "there is no Chromium: the page in a browser. make browser installs one, TASKQ_CHROMIUM names one"
        pytest.skip(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
