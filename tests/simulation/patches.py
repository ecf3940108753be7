"""Puts the virtual clock, and what stands for processes and sockets, in the places of the real ones.

For a process that does nothing but simulate.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import redis.retry
import rq.utils
from fakeredis.commands_mixins import scripting_mixin

from taskq.maps import runner
from taskq.redis import keys
from taskq_workers import signals
from taskq_workers.lanes import lane, lanes, lone_pool
from taskq_workers.service import service
from taskq_workers.service.upkeep import membership, monitor
from tests.simulation import world
from tests.simulation.loop import EPOCH
from tests.simulation.processes import FakeContext, FakePool
from tests.simulation.services import NoFetcher
from tests.simulation.story import Listener

_urandom = os.urandom
_time, _monotonic, _sleep = time.time, time.monotonic, time.sleep
WRITING_TTL = 30  # seconds: an hour would be simulated second by second


def _now() -> float:
    here = world.maybe()
    if here is None:
        return _time()
    task = here.loop.current
    host = here.server.host if here.server.serving or task is None else task.process.host
    return EPOCH + here.loop.now + host.offset


def _ticks() -> float:
    here = world.maybe()
    return _monotonic() if here is None else 1000.0 + here.loop.now


def _pause(seconds: float) -> None:
    here = world.maybe()
    if here is None or here.loop.current is None:
        _sleep(seconds)
    else:
        here.loop.sleep(seconds)


def _random(count: int) -> bytes:
    here = world.maybe()
    return _urandom(count) if here is None else here.bytes.randbytes(count)


def _kill(pid: int) -> None:
    process = world.current().pool.get(pid)
    if process is not None:
        process.kill()


def _pool(_ctx: Any, on_death: Any, _on_notice: Any, initargs: tuple[Any, ...]) -> FakePool:
    here = world.current()
    return FakePool(here, here.loop.current.process, on_death, initargs[4])


def apply() -> None:
    """Do it, for the rest of this process's life."""
    time.time, time.monotonic, time.perf_counter, time.sleep = _now, _ticks, _ticks, _pause
    time.monotonic_ns = lambda: int(_ticks() * 1e9)
    os.urandom = _random
    redis.retry.sleep = _pause
    old, new = rq.utils.now, lambda: datetime.fromtimestamp(_now(), UTC)
    for name, module in list(sys.modules.items()):
        if name.startswith(("rq", "taskq")) and getattr(module, "now", None) is old:
            module.now = new  # type: ignore[attr-defined]
    scripting_mixin._check_for_lua_globals = lambda *_: None  # a third of each call; linted elsewhere
    lone_pool.start, lanes.context = _pool, lambda *_: FakeContext
    lane.tray.allot = lambda: None
    signals.kill_group = _kill
    service.Fetcher = NoFetcher
    runner.limited = lambda call, _seconds: call  # the service kills what is over its time
    monitor.Monitor.tell = lambda _self, **_: None  # nobody looks
    membership.mend = lambda _connection: False  # nobody puts garbage there
    monitor.psutil = SimpleNamespace(Process=lambda *_: None, Error=Exception)
    keys.WRITING_TTL = WRITING_TTL
    logger = logging.getLogger("taskq_workers")
    logger.addHandler(Listener())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("rq").setLevel(logging.CRITICAL)
