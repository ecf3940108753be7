"""The options of ``rq worker``, spelled as it spells them; what makes no sense here is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import redis
import rq.worker
from click.core import ParameterSource
from rq.defaults import (
    DEFAULT_JOB_CLASS,
    DEFAULT_JOB_MONITORING_INTERVAL,
    DEFAULT_MAINTENANCE_TASK_INTERVAL,
    DEFAULT_QUEUE_CLASS,
    DEFAULT_RESULT_TTL,
    DEFAULT_SERIALIZER_CLASS,
    DEFAULT_WORKER_TTL,
)
from rq.utils import import_attribute

from taskq.errors import OptionError
from taskq.payload.function import Function
from taskq_workers import logs
from taskq_workers.process.check import check
from taskq_workers.rq_options import STRATEGIES, RQOptions
from taskq_workers.user_code import STRATEGY_OF, UserCode

F = TypeVar("F", bound=Callable[..., Any])

_REFUSED = {
    "connection-class": "services connect by --url",
    "worker-class": "that is no worker of RQ's",
}


def _not_empty(ctx: click.Context, option: click.Parameter, given: str) -> str:
    """What is given; an empty variable of the environment counts as nothing."""
    if given == "" and ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
        raise click.BadParameter("it is empty")
    return given


_OPTIONS = [
    click.option("--burst", "-b", is_flag=True, help="End when the queues are empty."),
    click.option("--max-jobs", type=int, help="End after so many jobs (each service; a map is one)."),
    click.option("--max-idle-time", type=int, metavar="SECONDS", help="End after so long without a job."),
    click.option("--with-scheduler", "-s", is_flag=True,
                 help="Also run RQ's scheduler: enqueue_at, enqueue_in, retries with an interval."),
    click.option("--dequeue-strategy", "-ds", type=click.Choice(STRATEGIES), default="default",
                 help="Which of several queues comes next."),
    click.option("--serializer", "-S", default=DEFAULT_SERIALIZER_CLASS, show_default=False,
                 help="Of jobs: json, pickle or a dotted path. [default: taskq's, which reads all pickles]"),
    click.option("--job-class", "-j", envvar="RQ_JOB_CLASS", default=DEFAULT_JOB_CLASS, help="Dotted path."),
    click.option("--queue-class", envvar="RQ_QUEUE_CLASS", default=DEFAULT_QUEUE_CLASS, help="Dotted path."),
    click.option("--exception-handler", multiple=True, help="Dotted path; may be given several times."),
    click.option("--work-horse-killed-handler", help="Dotted path; called when a job's process has died."),
    click.option("--before-job", multiple=True, envvar="TASKQ_BEFORE_JOB", metavar="PATH",
                 help="Dotted path; called before each job, chunk and callback; may be given several times."),
    click.option("--after-job", multiple=True, envvar="TASKQ_AFTER_JOB", metavar="PATH",
                 help="The same afterwards, such as app.db.Session.remove."),
    click.option("--django", default="", envvar="TASKQ_DJANGO", metavar="MODULE", callback=_not_empty,
                 help="Django's settings module: Django is set up, and its connections are looked after."),
    click.option("--app", envvar="TASKQ_APP", metavar="PATH", callback=_not_empty,
                 help="A Flask app, or what makes one, such as app:create_app: jobs run in its context."),
    click.option("--disable-default-exception-handler", "-d", is_flag=True,
                 help="Failed jobs are not put into the failed registry."),
    click.option("--name", "-n", default="", help="Begins the names of the RQ workers."),
    click.option("--results-ttl", type=int, default=DEFAULT_RESULT_TTL, metavar="SECONDS",
                 help="For which results of plain jobs are kept."),
    click.option("--worker-ttl", type=int, default=DEFAULT_WORKER_TTL, metavar="SECONDS",
                 help="After which a silent worker is no longer shown."),
    click.option("--maintenance-interval", type=int, default=DEFAULT_MAINTENANCE_TASK_INTERVAL, metavar="SECONDS",
                 help="Between two cleanings of RQ's registries; 0: no pause."),
    click.option("--job-monitoring-interval", type=int, default=DEFAULT_JOB_MONITORING_INTERVAL,
                 metavar="SECONDS", help="Between two heartbeats of a running job."),
    click.option("--config", "-c", envvar="RQ_CONFIG", metavar="MODULE",
                 help="RQ's settings module: of REDIS_URL (or REDIS_HOST, ...), QUEUES, NAME; also a --preload."),
    click.option("--date-format", metavar="FORMAT", help="Of the time in the log's lines, as strftime has it."),
    click.option("--path", "-P", multiple=True, help="Where else to look for modules."),
    click.option("--pid", type=click.Path(), help="Write the manager's process id to this file."),
    click.option("--verbose", "-v", is_flag=True, help="As --log-level debug."),
    click.option("--quiet", "-q", is_flag=True, help="As --log-level warning."),
    click.option("--disable-job-desc-logging", is_flag=True,
                 help="As for rq worker; descriptions are not logged anyway."),
    click.option("--worker-class", "-w", envvar="RQ_WORKER_CLASS",
                 help="Dotted path; of yours, perform_job and handle_exception are called."),
    click.option("--connection-class", envvar="RQ_CONNECTION_CLASS",
                 help="As for rq worker; none but redis.Redis is possible."),
]  # fmt: skip

_OWN_WORKERS = {rq.Worker, rq.SimpleWorker, rq.SpawnWorker, rq.worker.HerokuWorker, *STRATEGY_OF}
_NOT_IN_NAMES = re.compile(r"[^\w.@+-]")  # it is part of keys, which are split at colons, and of patterns
_LONGEST_NAME = 100


def rq_options(function: F) -> F:
    """Add the options to a command; it gets them as the keyword arguments of ``read``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read(
    given: dict[str, Any], path: Sequence[str] = (), modules: Sequence[str] = (), allowed: Sequence[str] = ()
) -> RQOptions:
    """The options as one object; the user's classes and handlers have been tried out, in another process.

    Args:
        given: Option -> what the user gave.
        path: Where to look for modules first.
        modules: Those of ``--preload``.
        allowed: Patterns of what the worker may call by name; none: anything.

    Raises:
        OptionError: If one is refused here, or can't be loaded.
    """
    given = {**given, **_in_our_words(given)}
    handler = given["work_horse_killed_handler"]
    user = UserCode(
        serializer=None if given["serializer"] == DEFAULT_SERIALIZER_CLASS else given["serializer"],
        job_class=_class(given["job_class"], DEFAULT_JOB_CLASS),
        queue_class=_class(given["queue_class"], DEFAULT_QUEUE_CLASS),
        worker_class=Function.of(given["worker_class"]) if _is_users(given["worker_class"]) else None,
        exception_handlers=tuple(Function.of(path) for path in given["exception_handler"]),
        work_horse_killed_handler=Function.of(handler) if handler else None,
        before_job=tuple(map(Function.of, given["before_job"])),
        after_job=tuple(map(Function.of, given["after_job"])),
        django=given["django"],
        app=Function.of(given["app"].removesuffix("()")) if given["app"] else None,
    )
    check(user, path, modules, allowed)
    names = ("burst", "max_jobs", "max_idle_time", "with_scheduler", "dequeue_strategy", "name", "results_ttl",
             "worker_ttl", "maintenance_interval", "job_monitoring_interval",
             "disable_default_exception_handler")  # fmt: skip
    return RQOptions(user=user, **{name: given[name] for name in names})


def _in_our_words(given: dict[str, Any]) -> dict[str, Any]:
    """What means something to RQ that the services are told differently."""
    _own(given["connection_class"], "connection-class", {redis.Redis})
    worker_class = given["worker_class"]
    rqs = None if _is_users(worker_class) else _own(worker_class, "worker-class", _OWN_WORKERS)
    strategy = STRATEGY_OF.get(rqs) if rqs else None
    most = given["max_jobs"]
    return {
        "dequeue_strategy": strategy or given["dequeue_strategy"],
        "name": _NOT_IN_NAMES.sub("_", str(given["name"] or ""))[:_LONGEST_NAME],
        "max_jobs": most if most is None else max(1, most),  # RQ's worker looks after its first job
        "worker_ttl": given["worker_ttl"] or DEFAULT_WORKER_TTL,
    }


def _is_users(path: str | None) -> bool:
    return bool(path) and not str(path).startswith("rq.")


def _own(path: str | None, option: str, known: set[Any]) -> Any:
    """The class, if there is a path; one that is not RQ's or redis-py's own is not even imported.

    Raises:
        OptionError: If it is none of the ``known``.
    """
    if not path:
        return None
    try:
        found = import_attribute(path) if path.startswith(("rq.", "redis.")) else None
    except (ImportError, AttributeError, ValueError):
        found = None
    if found not in known:
        raise OptionError(f"--{option} {path} has no place here: {_REFUSED[option]}")
    return found


def _class(path: str, default: str) -> Function | None:
    return None if path == default else Function.of(path)


def level(given: dict[str, Any], log_level: str) -> str:
    """The log level that ``--verbose`` or ``--quiet`` asks for.

    Raises:
        OptionError: If both are given.
    """
    if given["verbose"] and given["quiet"]:
        raise OptionError("--verbose and --quiet exclude each other")
    return "debug" if given["verbose"] else "warning" if given["quiet"] else log_level


def log_form(_ctx: click.Context, _option: click.Parameter, given: str) -> str:
    """``--log-format``, if there can be such a format."""
    try:
        if given not in logs.FORMATS:
            logs.check_format(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}; or {' or '.join(logs.FORMATS)}") from error
    return given
