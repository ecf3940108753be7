"""Plain jobs, and callbacks of maps, which were running when their worker died, and may be what it died of.

How often is kept in the job's own hash, with the time at which it was enqueued: so the count begins anew when the
job is retried or requeued, whoever does that. The flight record of the service tells what it ran. Without one, all
that the worker had begun are suspected the first time; a suspect is begun by the long path, alone, and the index
of what the worker holds says that a process is given it: only then is the next death its own. Of a map that is
said whenever its callback is called: for that its job counts, as its chunks have deaths of their own. ``recovery``
counts, and ``jobs/quarantine.py`` sees that what has one chance left runs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskq.redis import checked, holdings, keys
from taskq.redis.holdings import Holding
from taskq.redis.kinds import kind_of
from taskq_workers.link.tasks import AbandonedTask, JobOutcome, JobTask
from taskq_workers.service.core.execution import MapRun, PlainJob, is_last
from taskq_workers.service.core.state import State
from taskq_workers.service.upkeep.evidence import Evidence
from taskq_workers.settings import MAX_DEATHS, MAX_SPARED

_DEATHS, _RAN = keys.JOB_DEATHS.encode(), keys.JOB_RAN.encode()
_DIGITS = 9  # of a count that may be one


def deaths_of(fields: Mapping[bytes, bytes]) -> int:
    """How many workers have died while they ran the job with this hash, since it was enqueued."""
    count, enqueued, _cause = _noted(fields)
    known = enqueued == fields.get(b"enqueued_at", b"") and count.isdigit() and len(count) <= _DIGITS
    return int(count) if known else 0


def cause_of(fields: Mapping[bytes, bytes]) -> str:
    """What the last of them died of, for people; "" if that is not known."""
    return checked.text(_noted(fields)[2])


def seconds_of(fields: Mapping[bytes, bytes]) -> float:
    """For how long it had run when the last of them died; 0.0: that is not known."""
    return checked.seconds(fields.get(_RAN, b"").partition(b" ")[0] or None)


def _spared(fields: Mapping[bytes, bytes]) -> int:
    """How many of the deaths ended no last chance."""
    return checked.count(fields.get(_RAN, b"").partition(b" ")[2] or None)


def _noted(fields: Mapping[bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    count, enqueued, cause = [*fields.get(_DEATHS, b"").split(b" ", 2), b"", b"", b""][:3]
    return count, enqueued, cause


def one_more(holding: Holding, fields: Mapping[bytes, bytes], evidence: Evidence) -> dict[str, bytes]:
    """What to write into a job's hash, now that its worker is dead; nothing, if it did not run then."""
    deaths, is_map = deaths_of(fields), bool(kind_of(fields).name)
    ran = evidence.ran_job(holding.execution_id)
    if ran is None:
        ran = holding.stage == holdings.GIVEN or not (deaths or is_map)
    if not ran:
        return {}
    before = _spared(fields) if deaths else 0
    spared = is_last(deaths) and before < MAX_SPARED and not evidence.ran_alone(holding.execution_id)
    cause, seconds = checked.clean(str(evidence)).encode(), evidence.seconds_of(holding.execution_id)
    counted = b"%d %s %s" % (deaths + (not spared), fields.get(b"enqueued_at", b""), cause)
    return {keys.JOB_DEATHS: counted, keys.JOB_RAN: b"%.3f %d" % (seconds, before + spared)}


def note_begun(state: State, job: PlainJob | MapRun) -> None:
    """Note that a process is given this job, before it is, if the job is a suspect; or the callback of this map.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. It must not be begun then.
    """
    if isinstance(job, MapRun) or job.deaths:
        given = replace(job.holding, stage=holdings.GIVEN)
        state.scripts.begun([keys.held(state.name)], [given.key, given.value])


def note_alone(state: State, *, alone: bool) -> None:
    """Note whether what has its last chance runs alone.

    Only then is the next death its last, if nobody knows what else ran.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached. It is to be noted again then.
    """
    note = next(lane.tasks[state.alone] for lane in state.lanes if state.alone in lane.tasks)
    stage = holdings.GIVEN if alone else holdings.BEGUN
    if isinstance(note, MapRun) and (claim := note.flying.get(state.alone)) is not None:
        with note.guarded():
            note.flying[state.alone] = note.store.give(claim, alone=alone) or claim
    elif isinstance(note, PlainJob | MapRun):
        told = replace(note.holding, stage=stage)
        state.scripts.begun([keys.held(state.name)], [told.key, told.value])
    state.alone_noted = alone


def _last(job: PlainJob | MapRun) -> str:
    cause = cause_of(job.fields)
    return f"the last by {cause}, " if cause else ""


def task_of(job: PlainJob) -> JobTask | AbandonedTask:
    """What a process is to do with this job: run it, unless too many workers have died of it."""
    deaths = job.deaths
    if deaths < MAX_DEATHS:
        return job.task()
    error = (
        f"rq.exceptions.AbandonedJobError: {deaths} workers, one after the other, died while they ran this job, "
        f"{_last(job)}so it was given up. If they died of it (of its memory, for example: look for OOM kills), "
        f"mend that; then have it tried again: taskq retry {job.job_id}"
    )
    # Later deaths were in the callback: it is not called for ever either.
    tell = deaths < 2 * MAX_DEATHS
    return AbandonedTask(job.job_id, job.fields, job.execution.worker_name, error, tell)


def calls_alone(run: MapRun) -> bool:
    """Whether the map's callback is to be called, and has its last chance."""
    return run.to_call is not None and is_last(deaths_of(run.fields))


def given_up(run: MapRun) -> JobOutcome | None:
    """How the callback of a map ended, if too many workers have died of it: it is not called again."""
    deaths = deaths_of(run.fields)
    if deaths < MAX_DEATHS:
        return None
    return JobOutcome(
        error=f"rq.exceptions.AbandonedJobError: {deaths} workers, one after the other, died while they ran the "
        f"callback of this map, {_last(run)}so it is not called any more. If they died of it (of its memory, for "
        "example: look for OOM kills), mend that"
    )
