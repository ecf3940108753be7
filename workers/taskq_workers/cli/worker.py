"""``taskq worker``."""

from __future__ import annotations

import atexit
import gc
import os
import select
import signal
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from taskq.errors import OptionError
from taskq.payload import signing
from taskq.redis import server
from taskq.redis.connection import connect
from taskq_workers import logs, user_path
from taskq_workers.cli import exits
from taskq_workers.cli.options import url_option
from taskq_workers.cli.rq_config import read_config
from taskq_workers.cli.rq_options import level, log_form, read, rq_options
from taskq_workers.cli.server import embedded
from taskq_workers.engines import choose
from taskq_workers.logs import LogOptions
from taskq_workers.settings import Settings, Trust, Wear, usable_cores


@click.command(context_settings={"show_default": True})
@click.argument("queues", nargs=-1, envvar="TASKQ_QUEUES")
@url_option
@click.option("--services", type=int, default=1, envvar="TASKQ_SERVICES", show_envvar=True,
              help="Service processes; each is one RQ worker.")  # fmt: skip
@click.option("--processes", type=int, default=None, envvar="TASKQ_PROCESSES", show_envvar=True,
              help="Pool processes of each service. [default: the cores it may use, shared by the services]",
              show_default=False)  # fmt: skip
@click.option("--grace", type=float, default=30.0, envvar="TASKQ_GRACE", show_envvar=True,
              help="Seconds which running chunks and jobs are given when the worker stops.")  # fmt: skip
@click.option("--lease", type=float, default=30.0, envvar="TASKQ_LEASE", show_envvar=True,
              help="Seconds of silence after which others take over what this worker held.")  # fmt: skip
@click.option("--refusal-grace", type=float, default=10.0, envvar="TASKQ_REFUSAL_GRACE", show_envvar=True,
              help="Seconds for which a map that no worker alive can run waits for one that can.")  # fmt: skip
@click.option("--max-tasks-per-child", type=int, default=0, envvar="TASKQ_MAX_TASKS_PER_CHILD", show_envvar=True,
              help="Replace a pool process after so many chunks and jobs; 0: never.")  # fmt: skip
@click.option("--max-memory-per-child", type=float, default=0, envvar="TASKQ_MAX_MEMORY_PER_CHILD",
              show_envvar=True,
              help="Replace a pool process that holds more MiB after a task; 0: never.")  # fmt: skip
@click.option("--preload", multiple=True, envvar="TASKQ_PRELOAD", show_envvar=True, metavar="MODULE",
              help="Import once, for all pool processes; may be repeated.", show_default=False)  # fmt: skip
@click.option("--reload", "reloads", is_flag=True, envvar="TASKQ_RELOAD", show_envvar=True,
              help="Start the services afresh when a module in this folder, or in one of --path, "
              "changes.")  # fmt: skip
@click.option("--engine", default="", envvar="TASKQ_ENGINE", show_envvar=True, metavar="URL", show_default=False,
              help="Run chunks and jobs on a cluster in place of this host's cores: dask://HOST:PORT (Dask's "
              "scheduler), or executor://MODULE:FUNCTION, which makes a concurrent.futures.Executor.")  # fmt: skip
@click.option("--min-replicas", type=int, default=0, envvar="TASKQ_MIN_REPLICAS", show_envvar=True,
              help="Take nothing more until so many replicas of the server have what was committed (WAIT); "
              "0: do not ask.")  # fmt: skip
@click.option("--allow-import", multiple=True, envvar="TASKQ_ALLOW_IMPORT", show_envvar=True, metavar="PATTERN",
              help="Call only functions with such a dotted path, e.g. 'tasks.*'; may be repeated. Those sent by "
              "value count as __main__.NAME. [default: all]", show_default=False)  # fmt: skip
@click.option("--allow-private-webhooks", is_flag=True, envvar="TASKQ_ALLOW_PRIVATE_WEBHOOKS", show_envvar=True,
              help="Send webhooks to private, loopback and link-local addresses, too; anybody who can write to "
              "Redis chooses them.")  # fmt: skip
@click.option("--log-level", "--logging-level", "--logging_level", "log_level", default="info",
              type=click.Choice(logs.LEVELS, case_sensitive=False),
              envvar="TASKQ_LOG_LEVEL", show_envvar=True, help="What is logged, to stderr.")  # fmt: skip
@click.option("--log-format", callback=log_form, default="human", envvar="TASKQ_LOG_FORMAT", show_envvar=True,
              help="human, for people; json; or a format such as '%(asctime)s %(message)s', which may also name "
              "%(job)s, %(chunk)s, %(worker)s and %(action)s.")  # fmt: skip
@click.option("--metrics-port", type=click.IntRange(1, 65535), envvar="TASKQ_METRICS_PORT", show_envvar=True,
              help="Serve /metrics (for Prometheus) and /health there. [default: nowhere]")  # fmt: skip
@click.option("--metrics-host", default="127.0.0.1", envvar="TASKQ_METRICS_HOST", show_envvar=True,
              help="The address for it; 0.0.0.0 for all.")  # fmt: skip
@click.option("--metrics-allow-host", multiple=True, envvar="TASKQ_METRICS_ALLOW_HOST", show_envvar=True,
              metavar="NAME", show_default=False, help="A name with a dot by which it is asked for; may be "
              "repeated. Addresses, and names without a dot, are allowed.")  # fmt: skip
@click.option("--embedded", "with_server", is_flag=True, help="Start a Redis server for this machine alone, where "
              "--url says, in memory only; it ends with the worker.")  # fmt: skip
@rq_options
@click.option("--until-eof", is_flag=True, hidden=True,
              help="Of taskq.local(): stop when stdin ends, and the server with us.")  # fmt: skip
def worker(
    queues: tuple[str, ...], url: str, services: int, processes: int | None, grace: float, lease: float,
    refusal_grace: float, max_tasks_per_child: int, max_memory_per_child: float, preload: tuple[str, ...],
    reloads: bool, engine: str, min_replicas: int, allow_import: tuple[str, ...], allow_private_webhooks: bool,
    log_level: str, log_format: str,
    metrics_port: int | None, metrics_host: str, metrics_allow_host: tuple[str, ...], with_server: bool,
    until_eof: bool, **given: Any,
) -> None:  # fmt: skip
    """Run jobs from QUEUES (in order of priority; default: "default") on all cores, until stopped.

    SIGTERM and the first Ctrl-C stop it gracefully: running chunks are finished, the rest goes back to the
    queue. A second Ctrl-C kills.

    \b
    taskq worker                                        # all cores, the queue "default", local Redis
    taskq worker high default --services 2 --processes 4
    taskq worker --embedded                             # with a Redis server of its own: to begin with
    taskq worker --burst --with-scheduler               # all options of rq worker that mean something here
    TASKQ_URL=rediss://user:secret@redis.example:6380/0 taskq worker

    TASKQ_SECRET_KEY (of 32 characters or more; several, for rotation, separated by commas) signs all that is
    pickled, and refuses what is not signed; producers need the same. See docs/security.md.
    """
    options = LogOptions(level(given, log_level), log_format, given["date_format"])
    logs.to_stderr(options)
    url, queues, path = _configured(url, queues, given, at_home=not until_eof)
    options = replace(options, module=given["dict_config"])
    if reloads and find_spec("watchfiles") is None:
        raise OptionError("--reload needs watchfiles, which is not installed: pip install 'taskq-pool[reload]'")
    if engine:
        choose.check(engine)
    # RQ's work horse has it, too: it is forked from who has read it.
    preload = (*filter(None, [given["config"]]), *preload)
    rq = read(given, path, preload, allow_import)
    connect(url)  # a URL of no use is an error now, not in each service
    if until_eof:
        stop_at_eof(url)
    if processes is None:
        processes = max(1, usable_cores() // max(1, services))
    trust = Trust(signing.keyring(), allow_import, allow_private_webhooks)
    wear = Wear(max_tasks_per_child, max_memory_per_child)
    settings = Settings(
        url, queues or ("default",), services, processes, grace, lease, trust, wear, tuple(path), preload,
        until_eof or with_server, (metrics_host, metrics_port) if metrics_port else None, metrics_allow_host,
        options, rq,
        refusal_grace=0.0 if until_eof else refusal_grace,  # nobody else comes to a private server
        reload=reloads,
        engine=engine,
        min_replicas=min_replicas,
    )  # fmt: skip
    _run(settings, embedded(url) if with_server else nullcontext(), given["pid"])


def _configured(
    url: str, queues: tuple[str, ...], given: dict[str, Any], *, at_home: bool
) -> tuple[str, tuple[str, ...], list[str]]:
    """The URL and the queues, as a module of settings may say, and the folders in which modules are looked for.

    Args:
        url: As told by options.
        queues: As told by arguments.
        given: The options of ``rq worker``; what else the module says is put there.
        at_home: Modules are looked for in the working directory, too, as by python -m; taskq.local() says where
            its program looks.
    """
    given["dict_config"] = ""
    path = [*([str(Path.cwd())] if at_home else []), *(str(Path(folder).absolute()) for folder in given["path"])]
    if not given["config"]:
        return url, queues, path
    import rq.cli.helpers  # noqa: F401 - which ``read_config`` needs, while it finds no module of the user's

    with user_path.in_front(path):
        found = read_config(click.get_current_context(), given["config"])
        given |= {name: value for name, value in found.items() if name not in ("url", "queues")}
        if given["dict_config"]:
            _set_logging_up(given["dict_config"])
    return found.get("url", url), found.get("queues", queues), user_path.all_for_user(path)


def _set_logging_up(module: str) -> None:
    try:
        logs.set_up_as_told(module)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise OptionError(f"--config {module}: DICT_CONFIG: {error}") from error


def _run(settings: Settings, server_of_ours: AbstractContextManager[object], pid_file: str | None) -> None:
    """Be the manager until the worker ends."""
    # Imported here: cotyledon takes the process over as soon as there is a manager.
    from taskq_workers.manager.manager import Manager
    from taskq_workers.manager.metrics_server import check_port
    from taskq_workers.manager.prepare import prepare

    if settings.metrics:
        check_port(*settings.metrics)
    with server_of_ours:
        settings = prepare(settings)
        if pid_file:
            Path(pid_file).expanduser().write_text(str(os.getpid()), encoding="ascii")
        gc.enable()  # taskq.local() starts us with it off
        manager = Manager(settings)
        try:
            manager.run()
        finally:
            if manager.refused or manager.unusable:
                sys.exit(exits.OTHER_VERSION if manager.refused else exits.ERROR)


def stop_at_eof(url: str) -> None:
    """If whoever started us is gone, it can't end us, nor perhaps the private server: do both."""

    def watch() -> None:
        # Not sys.stdin: a service that is forked meanwhile would inherit its lock, taken for ever. And not
        # only the end of the pipe: a child that our parent has forked may hold its other end open.
        parent = os.getppid()
        while os.getppid() == parent:
            readable, _, _ = select.select([0], [], [], 1.0)
            if readable and not os.read(0, 1024):
                break
        atexit.register(server.sweep)
        atexit.register(lambda: connect(url, retries=0).shutdown(nosave=True))  # before that
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="stdin", daemon=True).start()
