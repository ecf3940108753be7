"""Fixtures: a queue on fakeredis, the same on a real server."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskq import Queue
from taskq.redis.connection import connect
from taskq.redis.server import private_server
from tests import waiting
from tests.contents import everything

pytest_plugins = ["taskq.testing", "tests.untested"]

SIMULATION = Path(__file__).parent / "simulation"

_SIMULATES = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell that runs the suite in its background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have Python look for no garbage among what is collected: half a million objects, which all stay.

    To go through them again and again was a quarter of the time that tests in this process took.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave to the simulation what is frozen, from its first test in this process on: it freezes itself."""
    if not item.config.stash.get(_SIMULATES, False) and SIMULATION in item.path.parents:
        item.config.stash[_SIMULATES] = True
        gc.unfreeze()


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
    waiting.witnesses.append(tells := partial(witness, connection))
    yield Queue(connection=connection)
    waiting.witnesses.remove(tells)
    connection.close()


def witness(connection: Any) -> str:
    """What stands in Redis, and who waits there; a line for each, cut off."""
    clients = [{name: one[name] for name in ("id", "cmd", "age", "idle")} for one in connection.client_list()]
    told = {**everything(connection), "clients": clients}
    return "\n".join(f"{name!r}: {value}"[:1000] for name, value in told.items())


@pytest.fixture(params=["fakeredis", "server"])
def any_queue(request: pytest.FixtureRequest) -> Queue:
    """The contract: one test body, both kinds of Redis."""
    return request.getfixturevalue("fake_queue" if request.param == "fakeredis" else "real_queue")
