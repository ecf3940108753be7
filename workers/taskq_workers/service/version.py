"""Whether services of this version may work on a server, beside those that do, and with what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from taskq.errors import VersionError
from taskq.maps import strangers
from taskq.redis import admission
from taskq.redis.lua import Scripts
from taskq.redis.schema import SCHEMA, is_adjacent
from taskq.redis.services import ServiceInfo
from taskq_workers import build
from taskq_workers.settings import Settings


def check(connection: Any) -> None:
    """Ask, and register; see ``taskq/redis/schema.py``.

    Raises:
        VersionError: If they may not: services are alive, or maps open, of another version.
    """
    open_maps = partial(strangers.check_open, connection)
    admission.admit_worker(Scripts(connection), connection, check_maps=open_maps)


def others(live: Iterable[ServiceInfo]) -> list[str]:
    """What to say of live services beside which this version can't work."""
    return [
        f"the service {info.name} on {info.host} is of another version of taskq (schema {info.schema}, and this "
        f"one has {SCHEMA}), and they can't work side by side: stop all workers of one of the two"
        for info in live
        if not is_adjacent(info.schema)
    ]


def open_maps(connection: Any) -> list[str]:
    """What to say of open maps that another version has pushed, and this one can't run."""
    try:
        strangers.check_open(connection)
    except VersionError as error:
        return [str(error)]
    return []


def notes(connection: Any, live: list[ServiceInfo]) -> list[str]:
    """All there is to say of the versions that work on a server."""
    said = [*others(live), *open_maps(connection)]
    builds = Counter(info.build or "unknown" for info in live)
    if len(builds) > 1:
        listed = ", ".join(f"{build} ({count} services)" for build, count in sorted(builds.items()))
        said.append(f"several builds of taskq are at work: {listed}")
    return said


def check_build(settings: Settings) -> None:
    """See that this process runs what its manager has read; only where services are not forked from it.

    Raises:
        VersionError: If not.
    """
    if settings.build and settings.build != build.installed():
        raise VersionError(
            "the installation of taskq has changed under this worker: a new service would be of another build "
            "than the manager. Restart the worker"
        )
