"""What the manager does before it starts anything: it reads all of its code, and asks whether it may work here."""

from __future__ import annotations

import os
from dataclasses import replace
from multiprocessing import process
from pathlib import Path

from redis.exceptions import RedisError

from taskq.errors import ServerError
from taskq.payload import proxies
from taskq.redis import lua, reach
from taskq.redis.connection import connect
from taskq.redis.urls import hide_password
from taskq_workers import build
from taskq_workers.service import version
from taskq_workers.settings import Settings


def prepare(settings: Settings) -> Settings:
    """The settings, with the build; the scripts are in memory, as is, by our imports, all that a service runs.

    Raises:
        VersionError: If another version of taskq works on the server, with which this one can't.
        ServerError: If the server refuses, and will for ever.
    """
    lua.read_all()
    _know_managers()
    own = build.installed()
    try:
        with connect(settings.url, retries=0) as connection:
            version.check(connection)
    except (RedisError, OSError) as error:
        if said := reach.unusable(error, hide_password(settings.url)):
            raise ServerError(said) from None
        # Else each service waits for Redis, and then asks before it does anything.
    return replace(settings, build=own)


def _know_managers() -> None:
    """Take over the key of the program that has started us for itself: proxies of its managers work with it.

    Services and pool processes have theirs from this process.
    """
    if path := os.environ.pop(proxies.VARIABLE, ""):
        process.current_process().authkey = Path(path).read_bytes()
