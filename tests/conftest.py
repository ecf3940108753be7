"""Fixtures: a queue on fakeredis, the same on a real server."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from taskq import Queue
from taskq.redis.connection import connect
from taskq.redis.server import private_server

pytest_plugins = ["taskq.testing", "tests.untested"]


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell that runs the suite in its background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A real server, for the whole run; fails loudly where there is none."""
    with private_server() as url:
        yield url


@pytest.fixture
def url() -> Iterator[str]:
    """A real server for one test."""
    with private_server() as url:
        yield url


@pytest.fixture
def real_queue(server_url: str) -> Iterator[Queue]:
    """A queue on the real server, which is empty before and after."""
    connection = connect(server_url)
    connection.flushdb()  # the private server is ours alone
    yield Queue(connection=connection)
    connection.close()


@pytest.fixture(params=["fakeredis", "server"])
def any_queue(request: pytest.FixtureRequest) -> Queue:
    """The contract: one test body, both kinds of Redis."""
    return request.getfixturevalue("fake_queue" if request.param == "fakeredis" else "real_queue")
