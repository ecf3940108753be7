"""All that runs inside a pool process: its start, and what it does with each kind of task.

A pool process has no connection of ours to Redis. User code may open one (``ResultList``,
``get_current_job().save_meta()``): it connects to the worker's server when first used.
"""

from __future__ import annotations

import gc
import logging
import mmap
import multiprocessing
import multiprocessing.pool
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rq.job import Job, JobStatus, _current_job
from setproctitle import setproctitle

from taskq.errors import DamagedError
from taskq.maps import forks, nested
from taskq.maps.raised import refused
from taskq.maps.remembered import Remembered
from taskq.maps.runner import run_chunk
from taskq.maps.source import Source
from taskq.maps.store import function_codec
from taskq.payload import large, proxies
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkOutcome, ChunkRefused
from taskq.redis import connection
from taskq.redis.keys import MapKeys
from taskq.redis.limits import USUAL
from taskq.redis.urls import url_of
from taskq_workers import logs, signals, user_path
from taskq_workers.link import flight
from taskq_workers.link.known import LARGE, Known
from taskq_workers.link.ledger import Ledger
from taskq_workers.link.lending import NOTICE, Lending
from taskq_workers.link.marker import Marker
from taskq_workers.link.tasks import (
    AbandonedTask,
    BatchTask,
    BlobFile,
    CallbackTask,
    ChunkTask,
    JobOutcome,
    JobTask,
    Task,
)
from taskq_workers.link.tray import Memory, Tray
from taskq_workers.logs import LogOptions
from taskq_workers.process import abandoned, around, callbacks, early, errands, job_run, jobs, preload, streams  # noqa: F401 - early: see there
from taskq_workers.settings import Trust
from taskq_workers.user_code import UserCode

_marker: Marker  # shared with the service
_ledger: Ledger  # shared with the service
_tray: Tray  # shared with the service
_lending: Lending  # shared with the service
_answers: _Pipe
_known = Known()  # the service counts along (``lane.py``)
_remembered = Remembered()
_maps: dict[str, tuple[Function, Job, MapKeys, Source | None]] = {}
_large: dict[str, list[str]] = {}  # the large objects of those maps


def start(
    url: str, trust: Trust, log: LogOptions | None, title: str, numbers: Any, ledger: Any, memory: Memory | None,
    path: Sequence[str], user: UserCode, worker: str = "",
) -> None:  # fmt: skip
    """Initializer of the Pool: run once, before the first task."""
    global _marker, _ledger, _tray, _lending  # noqa: PLW0603 - the pool gives its processes no other place
    jobs.use(user)
    os.setpgid(0, 0)  # so that what job code starts can be killed with us
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined] # noqa: SLF001 - or it may start none
    signals.reset_in_pool_process()
    streams.set_up()
    streams.keep_files()
    preload.draw_anew()
    setproctitle(title)
    connection.use_in_worker(url)
    proxies.use_in_worker()
    trust.apply()
    errands.use(private_webhooks=trust.private_webhooks)
    multiprocessing.current_process().name = title
    if log is not None:
        logs.beside_the_application(log)
    _ledger, _tray = Ledger(ledger), Tray(memory)
    own = _numbers_at(numbers)
    _lending = Lending(own, lambda: _answers.put((NOTICE, 0, None)))
    nested.use(_lending, url_of(connection.shared()), worker)
    os.register_at_fork(after_in_child=lambda: nested.use(None, ""))  # it has no place of its own
    _marker = Marker(own)
    sys.path[:] = user_path.all_for_user(path)  # last: what is imported from now on may be the user's
    multiprocessing.set_start_method(None, force=True)  # else job code would get the forkserver's, and no lambdas
    if log is not None and log.module:
        _set_logging_up(log.module)
    _marker.begin(0)


def _numbers_at(where: Any) -> Any:
    try:
        return flight.numbers_at(where)
    except FileNotFoundError:
        service = multiprocessing.parent_process()
        if service is None or service.is_alive():
            raise
        sys.exit(1)  # it was killed just now, and its manager has tidied up: there is nobody to tell


def _set_logging_up(module: str) -> None:
    try:
        logs.set_up_as_told(module)
    except BaseException:  # a process that can't log as it should can work all the same
        logging.getLogger(__name__).exception("DICT_CONFIG of %s", module, extra={"action": "no_dict_config"})


def hello() -> None:
    """A task whose end tells that the process is ready."""


class _Pipe:
    """As the queues of a Pool, for its only process: without their locks, which a death would leave locked.

    No child which job code forks has its ends: one that outlived us would keep the service waiting for their end.
    """

    def __init__(self, queue: Any) -> None:
        self._reader, self._writer = queue._reader, queue._writer  # noqa: SLF001 - Pool's own attributes
        self._pid = os.getpid()
        self._come = select.poll()
        self._come.register(self._reader, select.POLLIN)
        self._lock = threading.Lock()  # a thread of the user's may lend the process, and say so here
        for end in (self._reader, self._writer):
            os.register_at_fork(after_in_child=end.close)

    def get(self) -> Any:
        self._check()
        _marker.reads(False)
        self._come.poll()
        _marker.reads(True)  # a death from now on may be of what has come: it may be too large
        try:
            return pickle.loads(self._reader.recv_bytes())
        except OSError:  # which Pool would take for its end, and wait for threads of the user's: see ``work``
            os._exit(1)

    def put(self, answer: Any) -> None:
        self._check()
        data = pickle.dumps(answer)
        with self._lock:
            self._writer.send_bytes(data)  # Pool's own pickler is slower: ours are plain data

    def _check(self) -> None:
        """End what is not the process that was started: a child that C code forked, unknown to Python."""
        if os.getpid() != self._pid:
            os._exit(0)


def work(tasks: Any, answers: Any, *args: Any) -> None:
    """What the process runs: Pool's own loop, until the service ends it, or is gone."""
    global _answers  # noqa: PLW0603 - a process has one
    _answers = _Pipe(answers)
    try:
        multiprocessing.pool.worker(_Pipe(tasks), _answers, *args)  # type: ignore[attr-defined]
    except BaseException:  # noqa: BLE001 - any of it is this process's end
        # The service was killed, and there is nobody to tell; or a task has left our files or modules broken, and
        # is to blame for this death. Python's own way to end waits for threads that the user's code has left.
        os._exit(1)


def forget(keys: Iterable[str]) -> None:
    """Free the functions of maps that are over."""
    sizes = [_known.forget(key) or 0 for key in keys]
    _drop(keys)
    for key in keys:
        _remembered.forget(key)
    if max(sizes, default=0) >= LARGE:
        gc.collect()  # a function and its globals may hold each other


def _drop(keys: Iterable[str]) -> None:
    """Have neither these maps nor the large objects which no other map refers to."""
    for key in keys:
        _maps.pop(key, None)
        gone = {*_large.pop(key, ())}
        large.withdraw(gone.difference(*_large.values()))


def _mapped(blob: BlobFile) -> memoryview:
    """The bytes of a large object, in memory that all processes of this host have in common.

    Raises:
        DamagedError: If its file is gone, or is no longer what it was.
    """
    try:
        with Path(blob.path).open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), blob.size, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise DamagedError(f"a large object of the map can't be read from its file: {error}") from error


def run(number: int, task: Task, over: tuple[str, ...] = ()) -> Any:
    """Run one task. Never raises: what user code does is part of the outcome.

    The marker stays until the next task: a death before the outcome has arrived is this task's, too.

    Args:
        number: The task's.
        task: What is to be run.
        over: Maps that are over since the last task.
    """
    _marker.begin(number)
    if over:
        forget(over)
    return _run(number, task)


def _run(number: int, task: Task) -> Any:
    try:
        return forks.call(_outcome, number, task)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that user code has left behind
        streams.flush()
        _lending.reset()
        _marker.rest()


def _outcome(number: int, task: Task) -> Any:
    if isinstance(task, ChunkTask):
        logs.at(job=task.job_id, chunk=str(task.range), worker=task.worker)
        return _run_chunk(number, task)
    logs.at(job=getattr(task, "job_id", None), chunk=None, worker=task.worker)
    if isinstance(task, JobTask):
        return job_run.run_job(task)
    if isinstance(task, AbandonedTask):
        return abandoned.run(task)
    if isinstance(task, CallbackTask):
        return callbacks.run_callback(task)
    return errands.run(task)


def run_batch(batch: BatchTask) -> list[tuple[int, JobOutcome]]:
    """Run jobs one after the other; what is not in the ledger at the end, nor returned, has not been run."""
    until = time.monotonic() + batch.seconds
    _ledger.clear()
    before = 0
    for number, task in batch.jobs:
        # First said, then asked: who has seen what we said a moment after it wanted us to stop, knows that no job
        # with a higher number is ever begun here.
        _marker.begin(number)
        if _marker.stops(batch.number) or time.monotonic() > until:
            _marker.begin(before)  # a death from now on is not this one's
            break
        outcome = _run(number, task)
        before = number
        if not _ledger.add(number, outcome):
            return [(number, outcome)]
    return []


class _Watch:
    """Tells the service which item runs, and the chunk whether it is to stop."""

    def __init__(self, number: int) -> None:
        self._number = number

    def begins(self, index: int) -> bool:
        _marker.item(index)
        return _marker.stops(self._number)


def _run_chunk(number: int, task: ChunkTask) -> ChunkOutcome | ChunkRefused:
    try:
        with around.ready():
            return _run_ready(number, task)
    except BaseException as error:  # noqa: BLE001 - of what is around it
        return refused(error)


def _run_ready(number: int, task: ChunkTask) -> ChunkOutcome | ChunkRefused:
    try:
        function, job, keys, source = _introduced(task)
    except BaseException as error:  # noqa: BLE001 - what stands in Redis may be anything
        return refused(error, "the map's function can't be read: ")
    token = _current_job.set(job)
    try:
        one = keys.id, keys.incarnation
        with around.piece(job, task.item_timeout), _remembered.at(one):
            outcome = _remembered.initialize(one, function, around.inside, _marker.initializer) or run_chunk(
                function, keys, task.star, task.range, task.body, task.limit,
                item_timeout=task.item_timeout, adapt=task.adapt, watch=_Watch(number),
                server=task.server or USUAL, exact=task.exact, inside=around.inside, stretch=task.stretch,
                discards=task.discards, enough=task.enough, bears=task.bears,
                retries=task.retries, tried=task.tried, single=task.single,
                source=source,
            )  # fmt: skip
            _marker.rest()  # hooks that follow have a time of their own
    except BaseException as error:  # noqa: BLE001 - what the user's hooks raise; run_chunk raises nothing
        return refused(error, "before the chunk: ")
    finally:
        _current_job.reset(token)
    if isinstance(outcome, ChunkRefused):
        return outcome
    began = time.monotonic() - outcome.seconds  # what the host's clock shows is of no use to others
    return replace(
        outcome,
        values=_tray.lay(outcome.values),
        started=began,
        remembers=_remembered.has((keys.id, keys.incarnation)),
    )


def _introduced(task: ChunkTask) -> tuple[Function, Job, MapKeys, Source | None]:
    new = task.introduction
    if new is not None:
        _drop(_known.add(task.key, new.size))
        _large[task.key] = [blob.digest for blob in new.blobs]
        for blob in new.blobs:
            large.offer(blob.digest, partial(_mapped, blob))
        keys = MapKeys(new.job_id, new.incarnation)
        function = function_codec(keys, star=task.star).loads(
            Path(new.path).read_bytes() if new.path else new.function
        )
        job = jobs.job_of(new.job_id, new.fields)
        job._status = JobStatus.STARTED  # noqa: SLF001 - as it stands in Redis by now
        job.check()
        _maps[task.key] = function, job, keys, new.source
        _remembered.introduce(task.key, (keys.id, keys.incarnation))
    return _maps[task.key]
