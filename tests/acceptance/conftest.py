"""Fixtures: workers as processes, a server of the test's own, a folder with a short path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import Queue
from tests.acceptance.worker import Server, Workers, kill_all, processes_in


@pytest.fixture
def workers(real_queue: Queue, server_url: str, tmp_path: Path) -> Iterator[Workers]:
    """Starts workers on the private server, which is empty."""
    started = Workers(server_url, tmp_path)
    yield started
    started.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """For sockets, whose paths may have 104 characters only; whoever works in it is killed at the end."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve()
        yield path
        kill_all(lambda: processes_in(path))


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """Not started yet; what it has acknowledged survives kill -9, however slow the disk is."""
    server = Server(folder, "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.kill()
