"""What a stock RQ worker runs when it gets a map, or an older version's call for help with one.

The same claims and commits as everywhere, in its own process, one chunk at a time. taskq's own workers never
call these.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rq import Worker, get_current_job
from rq.defaults import DEFAULT_FAILURE_TTL, DEFAULT_RESULT_TTL
from rq.exceptions import ShutDownImminentException
from rq.job import Job, JobStatus
from rq.timeouts import BaseTimeoutException

from taskq.errors import MapFailedError
from taskq.maps import nested, orphans, own_end, source, strangers, surplus
from taskq.maps.claim import Claim
from taskq.maps.deaths import tried
from taskq.maps.follow import Follower, feed
from taskq.maps.info import MapInfo
from taskq.maps.job import MapJob
from taskq.maps.raised import refused
from taskq.maps.remembered import Remembered
from taskq.maps.runner import run_chunk
from taskq.maps.source import Source
from taskq.maps.store import MapStore, function_codec
from taskq.maps.waiting import LOOK_AGAIN, Events
from taskq.payload import large
from taskq.payload.function import Function
from taskq.payload.large import Told
from taskq.payload.outcome import ChunkOutcome, ChunkRefused, summary
from taskq.redis import checked, clock, keys, refusals
from taskq.redis.urls import url_of
from taskq.views.timeline import TimelineNote

RQ_INTERRUPTS = (BaseTimeoutException, ShutDownImminentException)
"""What RQ raises inside a running job, which must end the job and not just an item."""


def run_map() -> dict[str, Any]:
    """Own the map that is the current job, and see it through.

    Raises:
        MapFailedError: If its function can't be loaded, or items failed.
        rq.timeouts.JobTimeoutException: If its ``job_timeout`` is over.
    """
    job = _job()
    store, worker = MapStore(job.id, job.connection), job.worker_name or "rq"
    fields: Any = job.connection.hmget(job.key, keys.JOB_KIND, "started_at")
    mark, began = (value or b"" for value in fields)
    if refusal := strangers.refusal({keys.JOB_KIND.encode(): mark}):
        raise MapFailedError(f"the map {job.id} can't be run: {refusal}")
    own_end.forget(job.id)
    incarnation = store.known.incarnation  # which is there now is the one that this job means
    info = store.open(worker)
    if info is None:
        raise MapFailedError(f"the map {job.id} has no keys in Redis: it was deleted, or has expired")
    try:
        with _at_hand(store, info.terms.large):
            info = _see_through(store, worker, info)
    except BaseException as error:  # RQ's alarm or shutdown: what is left can be tried again
        store.close(f"{type(error).__name__}: {error}")
        own_end.note(job.id, incarnation, began, JobStatus.FAILED)
        raise
    store.close(whole=True)
    succeeded = info.complete and (info.enough or not info.failed)
    own_end.note(job.id, incarnation, began, JobStatus.FINISHED if succeeded else JobStatus.FAILED)
    if succeeded:
        store.expire(job.get_result_ttl(DEFAULT_RESULT_TTL))
        return summary(info.done, info.failed, info.total, clock.ask(store.connection) - info.started)
    if job.get_status() == JobStatus.CANCELED:
        job.retries_left = 0  # RQ would take the end of a cancelled job for a failure, and retry it
    if not job.should_retry:
        store.expire(DEFAULT_FAILURE_TTL if job.failure_ttl is None else job.failure_ttl)
    raise MapFailedError(info.reason or failure_text(store, info))


def _job() -> Job:
    job = get_current_job()
    assert job is not None
    return job


def _see_through(store: MapStore, worker: str, info: MapInfo) -> MapInfo:
    """Work until every item was tried, by whomever, or somebody closed the map."""
    silence, memory, follower = orphans.Silence(), Remembered(), Follower(store)
    with Events(store.connection, store.keys) as events:
        while not info.complete and info.state == "open":
            if info.terms.source:
                follower.look()
                if follower.reason:
                    store.close(follower.reason)
            wait = _work(store, worker, memory)
            info = store.info()
            if follower.busy:
                continue
            if not (info.sealed or info.terms.source) and silence.lasts(info.lease, clock.ask(store.connection)):
                orphans.seal(store, info)
                info = store.info()
            if orphans.to_cancel(info):
                MapJob.fetch(store.keys.id, connection=store.connection, serializer=_job().serializer).cancel()
                return store.info()
            if not info.complete and not store.release_orphans():
                store.check()
                events.next(
                    look_again=LOOK_AGAIN if wait is None else min(wait, LOOK_AGAIN)
                )  # others hold the rest
    if info.enough and not info.sealed:
        orphans.seal(store, info)
        info = store.info()
    return info


@contextmanager
def _at_hand(store: MapStore, told: list[Told]) -> Iterator[None]:
    """In this block what is read finds the map's large objects: each is fetched when it is first wanted."""
    for one in told:
        large.offer(one.digest, partial(store.large, one))
    try:
        yield
    finally:
        large.withdraw(one.digest for one in told)


def _work(store: MapStore, worker: str, memory: Remembered) -> float | None:
    """Run what there is to run; returns the seconds until there is more, if that is known."""
    info = store.info()
    try:
        function: Function = function_codec(store.known, star=info.star).loads(store.function())
    except Exception as error:  # noqa: BLE001 - what stands in Redis may be anything
        _refuse(store, refused(error, "the map's function can't be read: "))
        return None
    note = TimelineNote(socket.gethostname(), worker, os.getpid(), 0)
    one = store.known.id, store.known.incarnation
    alone, url = _Alone(store.connection), url_of(store.connection)
    with nested.used(alone, url, worker, thread=threading.get_ident()), memory.at(one):
        while (reply := store.read_claims(store.claim(worker, 1), worker)).claims:
            [claim] = reply.claims
            failed = memory.initialize(one, function, passing=RQ_INTERRUPTS)
            outcome = failed or _run(function, store, info, claim, single=reply.single)
            if isinstance(outcome, ChunkRefused):
                _refuse(store, outcome)
                return None
            pause = info.terms.spell.pause(tried(claim.deaths) + 1) if info.terms.spell else 0.0
            totals = store.read_commit(store.commit(claim, outcome, note, terms=info.terms, pause=pause))
            while totals.room:
                outcome = surplus.without(outcome, claim, totals.room)
                totals = store.read_commit(store.commit(claim, outcome, note, terms=info.terms, pause=pause))
            for follower in source.followers(totals.followers):
                feed(store.scripts, follower, Source(store.known.id, store.known.incarnation))
            if totals.failed and (why := info.terms.too_many(totals.failed, totals.total)) and not totals.complete:
                store.close(why)
                return None
    return reply.wait


def _run(
    function: Function, store: MapStore, info: MapInfo, claim: Claim, *, single: bool
) -> ChunkOutcome | ChunkRefused:
    return run_chunk(
        function,
        store.known,
        info.star,
        claim.range,
        claim.body,
        info.limit,
        item_timeout=info.item_timeout,
        adapt=info.adapt,
        discards=info.terms.discards,
        enough=info.terms.first,
        bears=info.terms.bearable(info.total),
        passing=RQ_INTERRUPTS,
        retries=info.terms.retries,
        tried=tried(claim.deaths),
        single=single,
        source=info.terms.follows,
    )


class _Alone:
    """A stock worker's place can't be lent: it runs one thing at a time. Others may run what is waited for."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.refused = ""

    def lend(self) -> None:
        if Worker.count(connection=self._connection) < 2:  # noqa: PLR2004 - itself, and another
            self.refused = "there is no worker but this one, and it runs one thing at a time"

    def take_back(self, _wait: object) -> None:
        self.refused = ""

    def counts(self, _wait: object) -> bool:
        return True


def _refuse(store: MapStore, outcome: ChunkRefused) -> None:
    store.close(outcome.reason)
    refusals.count(store.connection, outcome.refusal)


def failure_text(store: MapStore, info: MapInfo) -> str:
    """Why a map failed, for RQ's tools: the counts, and the first error in input order in full.

    RQ can't store what can't be encoded, and would leave the job as one that still runs.
    """
    text = f"{info.failed} of {info.items} items failed, {info.done} done."
    first = store.first_failure(info)
    return text if first is None else checked.clean(f"{text} The first: {first}\n\n{first.traceback}")
