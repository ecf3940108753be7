"""The settings module of ``rq worker --config``: what of it means something here."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, urlencode

import click
from click.core import ParameterSource
from rq.cli.helpers import get_redis_from_config, read_config_file

from taskq.connection import url_of
from taskq.errors import OptionError

_TLS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_ca_data", "ssl_keyfile", "ssl_certfile")
_WHY_NOT = {
    "SENTINEL": "services connect by a URL; give --url of the present master, or of a proxy that follows it",
    "DICT_CONFIG": "the worker's own log is set by --log-level and --log-format",
}


def read_config(ctx: click.Context, module: str) -> dict[str, Any]:
    """The parameters of ``taskq worker`` that the module sets, and that command line and environment do not.

    Args:
        ctx: Of ``taskq worker``.
        module: Its name; it is imported.

    Returns:
        Some of ``url``, ``queues``, ``name``.

    Raises:
        OptionError: If it can't be imported, or sets what can't be had here.
    """
    try:
        settings = read_config_file(module)
    except Exception as error:
        raise OptionError(f"--config {module} can't be imported: {error!r}") from error
    for name, why in _WHY_NOT.items():
        if settings.get(name):
            raise OptionError(f"--config {module} sets {name}: {why}")
    try:
        url = _url(settings)
    except ValueError as error:
        raise OptionError(f"--config {module}: {error}") from error
    found = {"url": url, "queues": tuple(settings.get("QUEUES") or ()), "name": settings.get("NAME")}
    if "RQ_REDIS_URL" in os.environ:
        del found["url"]
    return {
        name: value
        for name, value in found.items()
        if value and ctx.get_parameter_source(name) is ParameterSource.DEFAULT
    }


def _url(settings: dict[str, Any]) -> str | None:
    """Where the settings say that Redis is, as RQ reads them; None if they do not.

    Raises:
        ValueError: If RQ can't read them.
    """
    if settings.get("REDIS_URL") or not any(name.startswith("REDIS_") for name in settings):
        return settings.get("REDIS_URL")
    redis = get_redis_from_config(settings)
    url, options = url_of(redis), redis.connection_pool.connection_kwargs
    if password := options.get("password"):
        url = url.replace("//", f"//:{quote(str(password), safe='')}@", 1)
    tls = {name: options[name] for name in _TLS if options.get(name)} if url.startswith("rediss:") else {}
    return f"{url}?{urlencode(tls)}" if tls else url
