"""What the manager does before it starts anything: it reads all of its code, and asks whether it may work here."""

from __future__ import annotations

from dataclasses import replace

from redis.exceptions import RedisError

from taskq.errors import ServerError
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
    own = build.installed()
    try:
        with connect(settings.url, retries=0) as connection:
            version.check(connection)
    except (RedisError, OSError) as error:
        if said := reach.unusable(error, hide_password(settings.url)):
            raise ServerError(said) from None
        # Else each service waits for Redis, and then asks before it does anything.
    return replace(settings, build=own)
