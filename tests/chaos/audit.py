"""After the chaos: is everything there, once, and right, and nothing else?

Each function returns what is wrong, a line each; an empty list is what one hopes for.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from rq.job import Job
from rq.results import Result

from taskq import Queue
from taskq.maps.reader import MapReader
from taskq.payload import codec
from taskq.redis import keys
from taskq.redis.keys import MapKeys
from tests.chaos import works
from tests.chaos.load import Pushed
from tests.chaos.site import QUEUES
from tests.contract.by_hand import failures_of

Problems = list[str]
Item = tuple[str, int]  # job id, index


def job_problems(queue: Queue, one: Pushed, runs: dict[Item, int], blamed: set[Item]) -> Problems:
    """What is wrong with one job that has ended."""
    status = queue.connection.hget(f"rq:job:{one.id}", "status")
    if status is None:
        return [] if not one.sure else [f"{one.id} is gone"]
    if (one.cancelled or one.was_replaced) and status == b"canceled":
        return _counts(MapReader(one.id, queue.connection), one) if one.is_map else []
    check = _map_problems if one.is_map else _plain_problems
    # Of the maps that have had this id, which one it is now depends on what the server has lost; but it is one.
    unheard = not one.is_map and _was_killed(queue, one)
    found = [
        [*check(queue, one, label, status.decode(), blamed), *([] if unheard else _not_run(one, label, runs))]
        for label in one.labels
    ]
    return min(found, key=len)


def _was_killed(queue: Queue, one: Pushed) -> bool:
    """Whether a plain job without a retry failed since its process was killed, maybe before it noted anything."""
    last = Result.fetch_latest(Job(one.id, connection=queue.connection))
    return bool(last and last.exc_string and "Work-horse terminated" in last.exc_string)


def _not_run(one: Pushed, label: str, runs: dict[Item, int]) -> Problems:
    missing = [n for n in range(max(1, one.order.size)) if not runs.get((label, n))]
    return [f"{one.id}: items {missing} have ended and are not in the ledger"] if missing else []


def _plain_problems(queue: Queue, one: Pushed, label: str, status: str, _blamed: Any) -> Problems:
    expected = "failed" if one.order.kind == "broken" else "finished"
    if status != expected:
        return [f"{one.id}: {status}, not {expected}"]
    if expected == "failed":
        return []
    job = queue.fetch_job(one.id) or Queue(one.order.queue, connection=queue.connection).fetch_job(one.id)
    assert job is not None
    ends = [result.return_value for result in job.results() if result.type.name == "SUCCESSFUL"]
    value = works.value_of(one.order.kind, label, 0)
    return [] if ends == [value] else [f"{one.id}: returned {ends}, not just {value}"]


def _counts(store: MapReader, one: Pushed) -> Problems:
    """Counters agree with lists, spans cover each item at most once, and no chunk is in anybody's hands."""
    info = store.info()
    connection, k = store.connection, store.keys
    placed = Counter(index for start, count in store.spans(0, 10**6) for index in range(start, start + count))
    doubled = [index for index, count in placed.items() if count > 1]
    checks = {
        f"done={info.done} but {connection.llen(k.results)} results": info.done == connection.llen(k.results),
        f"done={info.done} but spans of {placed.total()}": info.done == placed.total(),
        f"items {doubled} have two results": not doubled,
        f"failed={info.failed} but {connection.hlen(k.errors)} records": info.failed == connection.hlen(k.errors),
        "items have a result and an error": not placed.keys() & failures_of(store).keys(),
        "claims are left": not connection.hlen(k.claims),
        "chunks are pending": one.cancelled
        or one.was_replaced
        or not (connection.llen(k.pending) + connection.llen(k.again)),
        f"state {info.state}": info.state == "closed",
        f"total={info.total}": info.total == one.order.size,
    }
    return [f"{one.id}: {problem}" for problem, good in checks.items() if not good]


def _map_problems(queue: Queue, one: Pushed, label: str, status: str, blamed: set[Item]) -> Problems:
    store, kind = MapReader(one.id, queue.connection), one.order.kind
    problems = _counts(store, one)
    failures = failures_of(store)
    results: dict[int, Any] = {}
    values = store.results.read()
    for start, count in store.spans(0, 10**6):
        for index in range(start, start + count):
            results[index] = codec.loads(next(values, codec.dumps("missing")))
    for n in range(one.order.size):
        expected = works.failure_of(kind, n)
        if n in results:
            if expected or results[n] != works.value_of(kind, label, n):
                problems.append(f"{one.id}: item {n} has the result {results[n]!r:.80}")
        elif n not in failures:
            problems.append(f"{one.id}: item {n} has neither result nor error")
        elif failures[n].type != expected and not (
            failures[n].type == "WorkerLostError" and (label, n) in blamed  # the monkey got it three times
        ):
            problems.append(f"{one.id}: item {n} failed: {failures[n]!s:.200}")
    if status != ("failed" if failures else "finished"):
        problems.append(f"{one.id}: {status} with {len(failures)} failures")
    return problems


def given_up(connection: Any, pushed: list[Pushed]) -> int:
    """Items that did not fail by themselves: the monkey has killed their processes too often."""
    count = 0
    for one in pushed:
        if one.is_map:
            for n, failure in failures_of(MapReader(one.id, connection)).items():
                count += failure.type == "WorkerLostError" and not works.failure_of(one.order.kind, n)
    return count


# -- what is left ------------------------------------------------------------------------------------------

_ENDS = "must expire"
_STAYS = "stays"
_LEFT = (  # RQ's keys and ours that may be there when nothing is going on: what, for which jobs, until when
    (r"rq:job:(?P<id>[^:]+)(:dependents)?", _ENDS),
    (r"rq:job::(?P<id>[^:]+):dependencies", _ENDS),  # RQ's own spelling
    (r"rq:worker:[^:]+", _ENDS),  # a dead one's, for a minute
    (r"rq:results:(?P<id>.+)", _ENDS),
    (
        r"taskq:\{(?P<id>.+?)\}(:function|:bodies|:uses|:failed|:results|:spans|:errors|:groups|:deaths|:refusals)?",
        _ENDS,
    ),
    (r"taskq:\{(?P<id>.+?)\}(:pending|:again)", _ENDS),  # of a cancelled one
    (r"rq:queues", _STAYS),
    (r"rq:(finished|failed|canceled):(high|default)", _STAYS),
    (re.escape(keys.TIMELINE), _STAYS),
    (re.escape(keys.MAPS), _STAYS),
    (re.escape(keys.METRICS), _STAYS),
    (re.escape(keys.SCHEMA), _STAYS),
    (re.escape(keys.RECEIPT) + "[0-9a-f]{16}", _ENDS),
    (r"rq:clean_(registries:.+|groups)", _ENDS),
)


def left_over(connection: Any, pushed: list[Pushed], abandoned: str) -> Problems:
    """Keys that nobody can account for, or that would stay for ever."""
    jobs = {one.id: one for one in pushed}
    # What a producer had written when Redis went away, or it died, expires.
    unannounced = {MapKeys(job_id).pending for job_id in (abandoned, *(one.id for one in pushed if not one.sure))}
    problems = []
    for raw in connection.scan_iter("*", count=1000):
        key = raw.decode()
        for pattern, until in _LEFT:
            if (match := re.fullmatch(pattern, key)) is None:
                continue
            job_id = match.groupdict().get("id")
            if job_id is not None and job_id not in jobs and not (job_id == abandoned and key[0] == "t"):
                problems.append(f"{key} belongs to no job that was pushed")
            if until == _ENDS and connection.ttl(raw) == -1 and not _is_kept(connection, key, job_id):
                problems.append(f"{key} never expires")
            break
        else:
            if not (key in unannounced and connection.ttl(raw) > 0):
                problems.append(f"{key} ({connection.type(raw).decode()}) is left")
    return problems


def _is_kept(connection: Any, key: str, job_id: str | None) -> bool:
    """Whether RQ keeps this key: a cancelled job's has no end, and who was to replace it may have been lost."""
    return key.startswith("rq:job:") and connection.hget(f"rq:job:{job_id}", "status") == b"canceled"


def not_at_rest(connection: Any) -> Problems:
    """Executions, claims and queued jobs: none while every job has ended."""
    problems = [f"{key.decode()} is left" for key in connection.scan_iter("rq:execution*", count=1000)]
    problems += [f"{key.decode()} is left" for key in connection.scan_iter("taskq:*:claims", count=1000)]
    for name in QUEUES:
        for key in (f"rq:queue:{name}", f"rq:queue:{name}:intermediate"):
            if ids := connection.lrange(key, 0, -1):
                problems.append(f"{key} holds {ids}")
        for kind in ("wip", "deferred", "ready", "scheduled"):
            if ids := connection.zrange(f"rq:{kind}:{name}", 0, -1):
                problems.append(f"rq:{kind}:{name} holds {ids}")
    return problems
