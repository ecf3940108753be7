"""``taskq cancel``, ``retry``, ``pause``, ``resume`` and ``limit``."""

from __future__ import annotations

from typing import Any

import click
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus

from taskq.errors import UsageError
from taskq.maps.controlled import ENDED
from taskq.maps.job import MapJob
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import complete_id, find_job, find_map, reached
from taskq_workers.cli.said import say

_NONE = "none"  # what lifts a limit


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_id)
@url_option
@click.option("--kill", is_flag=True, help="Also end what runs of it at the moment, instead of letting it finish.")
def cancel(job_ids: tuple[str, ...], url: str, kill: bool) -> None:
    """Cancel jobs: nothing more of them is started, and nothing more is stored.

    The results that a map has by then stay for a day. A plain job that runs already can only be killed.

    \b
    Examples:
      taskq cancel ID
      taskq cancel ID --kill
    """
    with reached(url) as connection:
        for job_id in job_ids:
            job = find_job(connection, job_id)
            _cancel(connection, job, kill=kill)
            say(f"cancelled {job.id}")


def _cancel(connection: Any, job: Job, *, kill: bool) -> None:
    status = job.get_status()
    late = kill and isinstance(job, MapJob) and status == JobStatus.CANCELED  # items of it may run still
    if status in ENDED and not late:
        raise UsageError(f"the job {job.id} has ended already: it is {status.value}")
    try:
        if isinstance(job, MapJob):
            job.cancel(kill=kill)
        elif status == JobStatus.STARTED:
            if not kill:
                raise UsageError(f"the job {job.id} runs already; --kill ends it")
            send_stop_job_command(connection, job.id, job.serializer)
        else:
            job.cancel()
    except InvalidJobOperation as error:
        raise UsageError(f"the job {job.id} can't be cancelled now: {error or 'it has just ended'}") from error


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_id)
@url_option
@click.option("--at-front", is_flag=True, help="Before all that waits in the queue.")
def retry(job_ids: tuple[str, ...], url: str, at_front: bool) -> None:
    """Put failed jobs back into their queues; of a map, only what has no result yet runs again.

    \b
    Examples:
      taskq retry ID
      taskq retry ID --at-front && taskq attach ID
    """
    with reached(url) as connection:
        for job_id in job_ids:
            job = find_job(connection, job_id)
            _retry(job, at_front=at_front)
            say(f"back in its queue: {job.id}; follow it with: taskq attach {job.id}")


def _retry(job: Job, *, at_front: bool) -> None:
    try:
        job.requeue(at_front=at_front)
    except InvalidJobOperation as error:
        status = job.get_status()
        state = status.value if status else "gone"
        raise UsageError(f"only failed or stopped jobs can be tried again, and {job.id} is {state}") from error


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_id)
@url_option
def pause(job_ids: tuple[str, ...], url: str) -> None:
    """Pause maps: nothing more of them starts, and what runs ends. Time limits go on.

    \b
    Examples:
      taskq pause ID
    """
    with reached(url) as connection:
        for job_id in job_ids:
            job = find_map(connection, job_id)
            if job.get_status() in ENDED:
                raise UsageError(f"the map {job.id} has ended already")
            job.pause()
            say(f"paused {job.id}; it goes on with: taskq resume {job.id}")


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_id)
@url_option
def resume(job_ids: tuple[str, ...], url: str) -> None:
    """Have maps go on that were paused.

    \b
    Examples:
      taskq resume ID
    """
    with reached(url) as connection:
        for job_id in job_ids:
            job = find_map(connection, job_id)
            if job.get_status() in ENDED:
                raise UsageError(f"the map {job.id} has ended already")
            job.resume()
            say(f"goes on: {job.id}")


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_id)
@url_option
@click.option(
    "--max-running", metavar="N", help="Items that may run at once; `none`: any number. [default: no change]"
)
@click.option("--rate", metavar="N/UNIT", help="Items that may begin within any second, minute or hour: 5/s, "
              "300/m, 1000/h; `none`: any number. [default: as before]")  # fmt: skip
def limit(job_id: str, url: str, max_running: str | None, rate: str | None) -> None:
    """Limit how much of a map runs, over all workers. What runs already ends the item that it is at.

    \b
    Examples:
      taskq limit ID --max-running 10
      taskq limit ID --rate 300/m
      taskq limit ID --max-running none --rate none
    """
    given: dict[str, Any] = {}
    if max_running is not None:
        given["max_running"] = None if max_running == _NONE else count_of(max_running, "--max-running")
    if rate is not None:
        given["rate"] = None if rate == _NONE else rate
    if not given:
        raise click.UsageError("give --max-running, --rate, or both")
    with reached(url) as connection:
        job = find_map(connection, job_id)
        if job.get_status() in ENDED:
            raise UsageError(f"the map {job.id} has ended already")
        job.limit(**given)
        now = ", ".join(f"{name} {value}" for name, value in job.store.info().caps.named.items())
        say(f"limited {job.id}: {now or 'no limit'}")


def count_of(text: str, option: str) -> int:
    """The whole number that was given.

    Raises:
        click.UsageError: If it is none.
    """
    if not text.isascii() or not text.isdigit():
        raise click.UsageError(f"{option} must be a whole number, such as 10, not {text!r}")
    return int(text)
