"""How subcommands reach Redis and the jobs in it; what goes wrong is said in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem
from redis.exceptions import RedisError
from rq.job import Job

from taskq.errors import DamagedError, ServerError, TaskqError, UsageError
from taskq.maps.job import MapJob
from taskq.payload import codec, signing
from taskq.queue import fetch
from taskq.redis import ids, reach
from taskq.redis.connection import connect, default_url
from taskq.redis.patience import says_damage
from taskq.redis.urls import hide_password
from taskq.views import listed, short_ids
from taskq.views.escaped import escaped
from taskq_workers.cli.job_view import newest

_COMPLETED = 50  # ids offered by the shell's completion
_LOOKED_AT = 500  # jobs among which these are found, the newest


@contextmanager
def reached(url: str) -> Iterator[Any]:
    """A connection, for the length of the block; closed afterwards.

    Raises:
        OptionError: If there is a secret key that is of no use.
        ServerError: If the server can't be reached, or refuses; also later in the block.
        DamagedError: If keys hold what nobody can work with.
    """
    signing.keyring()  # one that is of no use is an error now, and not in the middle of something
    connection = connect(url, retries=1)
    try:
        connection.ping()
        yield connection
    except (RedisError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise  # stdout
        raise _clear(error, hide_password(url)) from None
    finally:
        connection.close()


def _clear(error: BaseException, url: str) -> TaskqError:
    if said := reach.unusable(error, url):
        return ServerError(said)
    why = reach.reason(error)
    if reach.is_away(error):
        return ServerError(
            f"no Redis at {url}: {why}. Is it running? Give its URL by --url or TASKQ_URL, or "
            "start one here: taskq server."
        )
    if says_damage(error):
        return DamagedError(f"what stands in Redis is not what RQ or taskq wrote: {error}")
    return ServerError(f"Redis at {url} refuses: {why}. {reach.remedy(error)}.")


def find_job(connection: Any, job_id: str) -> Job:
    """The job with this id, or whose id begins with this, a ``MapJob`` if it is a map.

    Raises:
        UsageError: If there is none, or more than one.
    """
    job = fetch(short_ids.whole(connection, job_id), connection, codec.Serializer)
    if job is None:
        raise no_job(job_id)
    return job


def no_job(job_id: str) -> UsageError:
    """What to raise for an id that no job has."""
    return UsageError(
        f"there is no job {job_id!r}: it has expired, was deleted, or is on another server. "
        "`taskq jobs` lists those there are."
    )


def find_map(connection: Any, job_id: str) -> MapJob:
    """The map with this id, or whose id begins with this.

    Raises:
        UsageError: If there is none, or more than one, or it is a plain job.
    """
    job = find_job(connection, job_id)
    if not isinstance(job, MapJob):
        raise UsageError(f"the job {job.id} is a plain job, not a map: `taskq show {job.id}` shows it")
    return job


def complete_id(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell's completion: ids of the newest jobs. Silent if there is no server."""
    try:
        with reached(ctx.params.get("url") or default_url()) as connection:
            found = newest(connection, listed.STATUSES, None, _LOOKED_AT)
    except Exception:  # noqa: BLE001 - a traceback in the middle of a command line helps nobody
        return []
    # The shell types what it is offered: nothing but what an id can be.
    offered = [one for one in found if ids.read(one.id) and one.id.startswith(incomplete)]
    return [
        CompletionItem(one.id, help=escaped(f"{one.status} {one.description}")) for one in offered[:_COMPLETED]
    ]
