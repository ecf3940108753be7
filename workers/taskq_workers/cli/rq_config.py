"""What RQ's commands are told by their environment, and by the settings module of ``--config``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from taskq.errors import OptionError
from taskq.redis.connection import DEFAULT_URL
from taskq.redis.urls import TLS, whole_url_of

# Other programs' names begin with REDIS_ too, and say something else.
_READ = {"REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD", "REDIS_SSL"}
_SENTINEL = {  # of RQ's SENTINEL: which arguments can be told on, of the primary and of the sentinels
    "CONNECTION_KWARGS": {"db", "username", "password", "ssl", *TLS},
    "SENTINEL_KWARGS": {"username", "password", "ssl"},
}
_TIMES = {"socket_timeout", "socket_connect_timeout", "retry_on_timeout"}  # services have their own


def url_of_environment() -> str:
    """Where RQ's commands look without ``--url`` and ``--config``; a variable that is empty is none.

    Raises:
        OptionError: If RQ can't read what is there.
    """
    given = {name: value for name, value in os.environ.items() if value and name != "SENTINEL"}  # it is no text
    try:
        return given.get("RQ_REDIS_URL") or _url(given) or DEFAULT_URL
    except ValueError as error:
        raise OptionError(f"the environment: {error}") from error


def read_config(ctx: click.Context, module: str) -> dict[str, Any]:
    """The parameters of ``taskq worker`` that the module sets, and that command line and environment do not.

    Args:
        ctx: Of ``taskq worker``.
        module: Its name; it is imported.

    Returns:
        Some of ``url``, ``queues``, ``name``, ``before_job``, ``after_job``; ``dict_config`` is the module's name,
        if it has a ``DICT_CONFIG``.

    Raises:
        OptionError: If it can't be imported, or sets what can't be had here.
    """
    from rq.cli.helpers import read_config_file  # only where it is asked for: it brings all of RQ's command line

    try:
        settings = read_config_file(module)
    except Exception as error:
        raise OptionError(f"--config {module} can't be imported: {error!r}") from error
    try:
        url = _url(settings)
    except ValueError as error:
        raise OptionError(f"--config {module}: {error}") from error
    # Where there is a module, RQ reads nothing of this from the environment, whatever the module says.
    found = {
        "url": url or DEFAULT_URL,
        "queues": tuple(settings.get("QUEUES") or ()),
        "name": settings.get("NAME"),
        "before_job": _several(settings.get("BEFORE_JOB")),
        "after_job": _several(settings.get("AFTER_JOB")),
        "dict_config": module if settings.get("DICT_CONFIG") else "",
    }
    if os.environ.get("RQ_REDIS_URL"):
        del found["url"]
    return {
        name: value
        for name, value in found.items()
        if value and ctx.get_parameter_source(name) in (ParameterSource.DEFAULT, None)
    }


def _several(given: Any) -> tuple[Any, ...]:
    """One hook, or several: functions, or their paths."""
    return tuple(given) if isinstance(given, (list, tuple)) else (given,) if given else ()


def _url(settings: Mapping[str, Any]) -> str | None:
    """Where the settings, or the environment, say that Redis is, as RQ reads them; None if they do not.

    Raises:
        ValueError: If RQ can't read them.
    """
    sentinel = settings.get("SENTINEL")
    if settings.get("REDIS_URL") or (not sentinel and _READ.isdisjoint(settings)):
        return settings.get("REDIS_URL")
    told: Mapping[str, Any] = sentinel or {}
    if not isinstance(told, Mapping):
        raise ValueError("SENTINEL is no dict")  # noqa: TRY004 - as RQ says that a setting is none
    for name, known in _SENTINEL.items():
        if unsaid := {*told.get(name, {})} - known - _TIMES:
            raise ValueError(f"SENTINEL: {name} has {', '.join(sorted(unsaid))}, which services can't be told")
    from rq.cli.helpers import get_redis_from_config  # as above

    return whole_url_of(get_redis_from_config(settings))
