"""The settings module of ``rq worker --config``: what of it means something here."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, urlencode

import click
from click.core import ParameterSource
from rq.cli.helpers import read_config_file

from taskq.errors import OptionError

_TLS = {"REDIS_SSL_CA_CERTS": "ssl_ca_certs", "REDIS_SSL_CA_DATA": "ssl_ca_data",
        "REDIS_SSL_CERT_REQS": "ssl_cert_reqs", "REDIS_SSL_KEYFILE": "ssl_keyfile",
        "REDIS_SSL_CERTFILE": "ssl_certfile"}  # fmt: skip
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
    found = {"url": _url(settings), "queues": tuple(settings.get("QUEUES") or ()), "name": settings.get("NAME")}
    if "RQ_REDIS_URL" in os.environ:
        del found["url"]
    return {
        name: value
        for name, value in found.items()
        if value and ctx.get_parameter_source(name) is ParameterSource.DEFAULT
    }


def _url(settings: dict[str, Any]) -> str | None:
    """Where the settings say that Redis is; None if they do not."""
    if settings.get("REDIS_URL") or not any(name.startswith("REDIS_") for name in settings):
        return settings.get("REDIS_URL")
    tls = str(settings.get("REDIS_SSL", False)).lower() in ("y", "yes", "t", "true")
    password = settings.get("REDIS_PASSWORD")
    secret = f":{quote(str(password), safe='')}@" if password else ""
    host, port = settings.get("REDIS_HOST", "localhost"), settings.get("REDIS_PORT", 6379)
    options = urlencode({option: settings[name] for name, option in _TLS.items() if settings.get(name)})
    return (
        f"{'rediss' if tls else 'redis'}://{secret}{host}:{port}/{settings.get('REDIS_DB', 0)}"
        f"{'?' + options if tls and options else ''}"
    )
