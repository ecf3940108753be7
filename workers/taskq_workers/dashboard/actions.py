"""What the page can do to a job: cancel it, try again what failed of it, or pause a map."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.exceptions import RedisError
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus

from taskq.errors import UsageError
from taskq.maps.controlled import ENDED
from taskq.maps.job import MapJob
from taskq.payload.sealed import SealedSerializer
from taskq.queue import fetch

log = logging.getLogger(__name__)


class ActionError(UsageError):
    """The job is not in a state in which that can be done; nothing was changed."""


def cancel(connection: Any, job_id: str, *, kill: bool = False) -> str:
    """Cancel a job: nothing more of it is started or stored. Returns what was done.

    Args:
        connection: To Redis.
        job_id: Of a map, or of a plain job.
        kill: Also end what runs of it at the moment; a plain job that runs can't be cancelled otherwise.

    Raises:
        ActionError: If there is no such job, or it has ended, or it is a plain one that runs.
    """
    job = _job(connection, job_id)
    status = job.get_status()
    late = kill and isinstance(job, MapJob) and status == JobStatus.CANCELED  # items of it may run still
    if status in ENDED and not late:
        raise ActionError(f"{job_id} has ended already: it is {status.value}")
    if isinstance(job, MapJob):
        _do(lambda: job.cancel(kill=kill), job_id)
    elif status != JobStatus.STARTED:
        _do(job.cancel, job_id)
    elif kill:
        send_stop_job_command(connection, job_id, serializer=SealedSerializer)
    else:
        raise ActionError(f"{job_id} runs already: it can only be killed")
    log.info("cancelled %s%s", job_id, ", and what runs of it" if kill else "",
             extra={"action": "page_cancel", "job": job_id})  # fmt: skip
    return f"Cancelled {job_id}."


def retry(connection: Any, job_id: str) -> str:
    """Put a failed job back on its queue; of a map only the failed items run again. Returns what was done.

    Raises:
        ActionError: If there is no such job, or it has not failed.
    """
    job = _job(connection, job_id)
    _do(job.requeue, job_id)
    log.info("%s is tried again", job_id, extra={"action": "page_retry", "job": job_id})
    return f"{job_id} is on the queue {job.origin} again."


def pause(connection: Any, job_id: str, *, paused: bool = True) -> str:
    """Pause a map, or have it go on. Returns what was done.

    Raises:
        ActionError: If there is no such map, or it has ended.
    """
    job = _job(connection, job_id)
    if not isinstance(job, MapJob) or job.get_status() in ENDED:
        raise ActionError(f"{job_id} is no map, or has ended")
    if paused:
        job.pause()
    else:
        job.resume()
    done = "paused" if paused else "goes on"
    log.info("%s %s", job_id, done, extra={"action": "page_pause", "job": job_id})
    return f"{job_id} {'is paused' if paused else done}."


ACTIONS: dict[str, Callable[[Any, str], str]] = {
    "cancel": cancel,
    "kill": partial(cancel, kill=True),
    "retry": retry,
    "pause": pause,
    "resume": partial(pause, paused=False),
}


def _job(connection: Any, job_id: str) -> Job:
    """The job, its pickles sealed: nothing of the user's is read or run here."""
    try:
        job = fetch(job_id, connection, SealedSerializer)
    except RedisError:
        raise
    except ValueError:  # RQ's word for an id that can be none
        job = None
    if job is None:
        raise ActionError(f"there is no job {job_id!r} (any more)")
    return job


def _do(method: Callable[[], object], job_id: str) -> None:
    try:
        method()
    except InvalidJobOperation as error:
        why = str(error) or "its state has just changed, or it has not failed"
        raise ActionError(f"that can't be done to {job_id}: {why}") from error
