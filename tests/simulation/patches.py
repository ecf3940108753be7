"""Puts the virtual clock, and what stands for processes and sockets, in the places of the real ones.

For a process that does nothing but simulate.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import redis.client
import redis.retry
import rq.utils
from fakeredis.commands_mixins import scripting_mixin
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskq.maps import (
    control,
    feed,
    follow,
    orphans,
    own_end,
    own_feed,
    producer,
    proof,
    push,
    runner,
    spans_read,
    store,
)
from taskq.payload import classes
from taskq.redis import keys, lua, once
from taskq.redis.clock import Clock
from taskq.views import said
from taskq_workers import clock
from taskq_workers.lanes import lane, lanes, lone_pool
from taskq_workers.process import errands
from taskq_workers.service import service
from taskq_workers.service.core import solitude
from taskq_workers.service.rq import worker
from taskq_workers.service.rq.lean import LeanPool
from taskq_workers.service.upkeep import membership, monitor
from tests.simulation import world
from tests.simulation.loop import EPOCH, Event, Host, Process, Task
from tests.simulation.people import SimRedis
from tests.simulation.processes import FakeContext, FakePool, PoolProcess
from tests.simulation.services import Manager, NoFetcher, Service
from tests.simulation.story import Listener
from tests.simulation.wire import client
from tests.simulation.world import World

_urandom = os.urandom
_time, _monotonic, _sleep = time.time, time.monotonic, time.sleep
WRITING_TTL = 8  # seconds: an hour would be simulated second by second


def _process() -> Process | None:
    """Whose code runs; None: nobody's."""
    loop = world.current().loop
    return loop.acting if loop.current is None else loop.current.process


def _thread() -> Task | Process:
    """Which task runs; if none does, whose turn it is."""
    loop = world.current().loop
    found: Task | Process | None = loop.acting if loop.current is None else loop.current
    assert found is not None
    return found


def _host(here: World) -> Host:
    """Whose clock is looked at."""
    if here.server.serving:
        return here.server.host
    loop = here.loop
    process = loop.acting if loop.current is None else loop.current.process
    return here.server.host if process is None else process.host


def _now() -> float:
    here = world.maybe()
    return _time() if here is None else EPOCH + here.loop.now + _host(here).offset


def _ticks() -> float:
    here = world.maybe()
    return _monotonic() if here is None else here.loop.now + _host(here).booted


class _ServersClock:
    """Stands for the one of each worker's process."""

    def __getattr__(self, name: str) -> Any:
        process = _process()
        return getattr(Clock() if process is None else process.servers_clock, name)


def _rq_now() -> datetime:
    """RQ's code goes by the server's clock in workers, and by its host's elsewhere."""
    if world.maybe() is not None and isinstance(_process(), Service | Manager | PoolProcess):
        return clock.utc()
    return datetime.fromtimestamp(_now(), UTC)


class _Local:
    """Stands for what is a thread's own: what one keeps is another's neither in this world nor in the next."""

    def __getattr__(self, name: str) -> Any:
        try:
            return _thread().own[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        _thread().own[name] = value


class _Lock:
    """Stands for one of threads, which are tasks here."""

    def __init__(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        while self._held:
            world.current().loop.sleep(0.001)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class _Thread:
    """A task of the process that starts it."""

    def __init__(self, target: Any, **_: Any) -> None:
        self._target = target

    def start(self) -> None:
        loop = world.current().loop
        loop.spawn(loop.current.process, self._target)


def _pause(seconds: float) -> None:
    here = world.maybe()
    if here is None or here.loop.current is None:
        _sleep(seconds)
    else:
        here.loop.sleep(seconds)


def _random(count: int) -> bytes:
    here = world.maybe()
    return _urandom(count) if here is None else here.bytes.randbytes(count)


def _say(text: str) -> None:
    """What the product says to people."""
    process = _process()
    world.current().say(f"{process.name if process else 'somebody'} is told: {text}")


def _kill(pid: int) -> None:
    process = world.current().pool.get(pid)
    if process is not None:
        process.kill()


def _kill_nobody(pid: int, signum: int) -> None:
    raise AssertionError(f"process {pid} was to get signal {signum}, and no process here is real")


def _no_folder() -> Path:
    raise OSError("no host here has a disk")


def _pool(_ctx: Any, on_death: Any, _on_notice: Any, initargs: tuple[Any, ...]) -> FakePool:
    here = world.current()
    return FakePool(here, here.loop.current.process, on_death, initargs[4])


def _connect(**_: Any) -> Any:
    return client(world.current().network, _process(), SimRedis, LeanPool, Retry(NoBackoff(), 0))


_done: list[bool] = []


def apply() -> None:
    """Do it, once, for the rest of this process's life."""
    if not _done:
        _done.append(True)
        _apply_all()
        gc.collect()
        gc.freeze()  # each world is cleared away by itself; all this stays


def forget() -> None:
    """What a process of the product keeps for all its life is none of the next world's.

    The first world of a process would be another one than it is later: what is drawn once, and kept, takes bytes
    out of that world's tokens alone.
    """
    for kept in (classes._origins, classes._by_id, own_end._ends):
        kept.clear()


def _take_small_steps() -> None:
    """What is done in bounded steps is done in several, also with a dozen items."""
    producer._BATCH_CHUNKS, store._STEP, control._STEP, proof.STEP = 2, 2, 2, 3
    source = lua.source
    lua.source = lambda name: source(name).replace("'COUNT', 100)", "'COUNT', 1)")  # type: ignore[assignment]
    lua.whole.cache_clear()
    spans_read.BATCH = 2
    follow._AT_ONCE, follow._RECORDS = (3, 1 << 20), 1
    push._written = deque(maxlen=0)  # of one process; here it would be that of all, and of worlds before


def _apply_all() -> None:
    time.time, time.monotonic, time.perf_counter, time.sleep = _now, _ticks, _ticks, _pause
    time.monotonic_ns = lambda: int(_ticks() * 1e9)
    os.urandom = _random
    redis.retry.sleep = _pause
    redis.client.Pipeline.__del__ = lambda _self: None  # type: ignore[method-assign]  # there are no sockets
    old, say = rq.utils.now, said.say
    for name, module in list(sys.modules.items()):
        if name.startswith(("rq", "taskq")) and getattr(module, "now", None) is old:
            module.now = _rq_now  # type: ignore[attr-defined]
        if name.startswith("taskq") and getattr(module, "say", None) is say:
            module.say = _say  # type: ignore[attr-defined]
    once._own = _Local()  # type: ignore[assignment]
    clock.SERVER = _ServersClock()  # type: ignore[assignment]
    scripting_mixin._check_for_lua_globals = lambda *_: None  # a third of each call; linted elsewhere
    lone_pool.start, lanes.context = _pool, lambda *_: FakeContext
    lane.tray.allot = lambda: None
    solitude.folder = _no_folder  # its locks end with processes
    lane.keeper.kill_group = _kill
    os.kill = os.killpg = _kill_nobody
    service.Fetcher = NoFetcher
    errands.connection = SimpleNamespace(connect=_connect)
    runner.limited = lambda call, _seconds: call  # the service kills what is over its time
    monitor.Monitor.tell = lambda _self, **_: None  # nobody looks
    membership.mend = lambda _connection: False  # nobody puts garbage there
    monitor.psutil = SimpleNamespace(Process=lambda *_: None, Error=Exception)
    keys.WRITING_TTL = WRITING_TTL
    feed.threading = SimpleNamespace(
        Lock=_Lock, Thread=_Thread, Event=lambda: Event(world.current().loop),
        get_ident=lambda: id(world.current().loop.current),
    )  # fmt: skip
    feed.LEASE, orphans.GRACE = 3.0, 1.0
    own_feed.is_alone = lambda: False  # who feeds a map, and who waits for it, are in different programs
    worker.RQWorker.heartbeat_grace = (
        2  # so that an outage which can be simulated is longer than all of RQ's limits
    )
    _take_small_steps()
    for name, handler in (("taskq", Listener()), ("taskq_workers", Listener()), ("rq", logging.NullHandler())):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
