"""Plain jobs which were running when their worker died, and may be what it died of.

How often is kept in the job's own hash, with the time at which it was enqueued: so the count begins anew when the
job is retried or requeued, whoever does that. The first time, nothing in Redis tells what a process had begun from
what only waited for one, so all that the worker had are suspected. A suspect is begun by the long path, alone, and
the index of what the worker holds says that a process is given it; only then is the next death its own.
``recovery`` counts. Of those with one chance left a service runs one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskq.redis import holdings, keys
from taskq.redis.holdings import Holding
from taskq_workers.link.tasks import AbandonedTask, JobTask
from taskq_workers.service.core.execution import PlainJob
from taskq_workers.service.core.state import State
from taskq_workers.settings import MAX_DEATHS

_DEATHS = keys.JOB_DEATHS.encode()
_DIGITS = 9  # of a count that may be one


def deaths_of(fields: Mapping[bytes, bytes]) -> int:
    """How many workers have died while they ran the job with this hash, since it was enqueued."""
    count, _, enqueued = fields.get(_DEATHS, b"").partition(b" ")
    known = enqueued == fields.get(b"enqueued_at", b"") and count.isdigit() and len(count) <= _DIGITS
    return int(count) if known else 0


def one_more(holding: Holding, fields: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """What to write into a job's hash, now that its worker is dead; nothing, if no process had been given it."""
    deaths = deaths_of(fields)
    if deaths and holding.stage != holdings.GIVEN:
        return {}
    return {keys.JOB_DEATHS: b"%d %s" % (deaths + 1, fields.get(b"enqueued_at", b""))}


def note_begun(state: State, job: PlainJob) -> None:
    """Note that a process is given this job, before it is, if the job is a suspect.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. The job must not be begun then.
    """
    if job.deaths:
        given = replace(job.holding, stage=holdings.GIVEN)
        state.scripts.begun([keys.held(state.name)], [given.key, given.value])


def hold_back(state: State) -> bool:
    """Take those out of the ready ones for which it is not the time; whether a job is at their front then.

    Of the jobs that the next death is to end, one runs at a time: so an innocent one survives its neighbour.
    """
    while state.ready and state.ready[0].deaths >= MAX_DEATHS - 1 and _last_chance_runs(state):
        state.held.append(state.ready.popleft())
    return bool(state.ready)


def let_go(state: State) -> None:
    """The next one of those that were held back has its turn, if there is none before it any more."""
    if not _last_chance_runs(state):
        state.ready.appendleft(state.held.popleft())


def _last_chance_runs(state: State) -> bool:
    tasks = (one for lane in state.lanes for one in lane.tasks.values())
    return any(isinstance(one, PlainJob) and one.deaths >= MAX_DEATHS - 1 for one in tasks)


def task_of(job: PlainJob) -> JobTask | AbandonedTask:
    """What a process is to do with this job: run it, unless too many workers have died of it."""
    deaths = job.deaths
    if deaths < MAX_DEATHS:
        return job.task()
    error = (
        f"rq.exceptions.AbandonedJobError: {deaths} workers, one after the other, died while they ran this job, "
        "so it was given up. If they died of it (of its memory, for example: look for OOM kills), mend that; then "
        f"have it tried again: taskq retry {job.job_id}"
    )
    # Later deaths were in the callback: it is not called for ever either.
    tell = deaths < 2 * MAX_DEATHS
    return AbandonedTask(job.job_id, job.fields, job.execution.worker_name, error, tell)
