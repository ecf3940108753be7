"""Which engine ``--engine`` means."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Executor
from importlib.util import find_spec
from urllib.parse import urlsplit

from taskq.errors import OptionError
from taskq_workers import user_path
from taskq_workers.engines import spec
from taskq_workers.engines.engine import Engine
from taskq_workers.engines.executor import ExecutorEngine
from taskq_workers.settings import Settings

_DASK = {"dask": "tcp", "dask+tls": "tls"}
_FORMS = "dask://host:8786, dask+tls://host:8786 or executor://module:function"


def check(url: str) -> None:
    """Look at the option before anything is started.

    Raises:
        OptionError: If it is none, or needs what is not installed.
    """
    parts = urlsplit(url)
    if parts.scheme in _DASK:
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or port is None or parts.path.strip("/") or parts.query or parts.username:
            raise OptionError(f"--engine {url}: write {_FORMS}")
        if find_spec("distributed") is None:
            raise OptionError(
                "--engine dask:// needs distributed, which is not installed: pip install 'taskq-pool[dask]'"
            )
    elif parts.scheme != "executor" or not all(_target(url)):
        raise OptionError(f"--engine {url}: write {_FORMS}")


def make(settings: Settings, name: str) -> Engine:
    """The engine of the service with this name.

    Raises:
        OptionError: If there is no such executor.
    """
    scheme, _, place = settings.engine.partition("://")
    if scheme in _DASK:
        from taskq_workers.engines.dask import DaskEngine  # it imports distributed

        told = spec.of(settings, name, lapse=settings.lease)
        return DaskEngine(f"{_DASK[scheme]}://{place.rstrip('/')}", told, settings.trust.keys, settings.lease)
    return ExecutorEngine(_maker(settings), spec.of(settings, name), settings.processes)


def _target(url: str) -> tuple[str, str]:
    module, _, function = url.partition("://")[2].partition(":")
    return module, function


def _maker(settings: Settings) -> Callable[[], Executor]:
    module, function = _target(settings.engine)
    try:
        with user_path.in_front(list(settings.path)):
            made: Callable[[], Executor] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise OptionError(f"--engine {settings.engine}: {error}") from error
    return made
