"""``manage.py taskqworker``: ``taskq worker`` for a Django project, on the queues of django-rq's settings."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from taskq.redis import urls
from taskq.worker import signals_go_to
from taskq_workers.cli.worker import worker

_URL = "TASKQ_URL"
_LEVELS = {0: "warning", 1: "info"}  # of Django's verbosities, as django-rq has them; those above are debug
_CLASSES = {"job_class": "JOB_CLASS", "queue_class": "QUEUE_CLASS", "worker_class": "WORKER_CLASS"}

_OF_DJANGO = [
    click.Option(["-v", "--verbosity"], type=click.IntRange(0, 3), default=1,
                 help="0: warnings only, 1: --log-level info, 2 and 3: debug."),
    click.Option(["--settings"], help="Django's settings module, instead of DJANGO_SETTINGS_MODULE."),
    click.Option(["--pythonpath"], help="A folder in which to look for modules first."),
    click.Option(["--traceback"], is_flag=True, help="Show errors of this command with their traceback."),
    click.Option(["--no-color"], is_flag=True, help="Don't colour this command's errors."),
    click.Option(["--force-color"], is_flag=True, help="Colour them in any case."),
    click.Option(["--skip-checks"], is_flag=True, help="Skip Django's system checks."),
]  # fmt: skip


def _parameter(of_worker: click.Parameter) -> click.Parameter:
    if of_worker.name == "verbose":
        return click.Option(["--verbose"], is_flag=True, help="As --log-level debug.")
    return of_worker


_LINE = click.Command(
    "taskqworker",
    params=[*(_parameter(one) for one in worker.params if one.name != "django"), *_OF_DJANGO],
    context_settings={**worker.context_settings, "help_option_names": ["-h", "--help"], "max_content_width": 100},
    help='Run jobs and maps of QUEUES (in order of priority; default: "default") on all cores, until stopped.\n\n'
    "QUEUES are names of RQ_QUEUES, which also says where Redis is; handlers and classes of the setting RQ are "
    "used. All options of `taskq worker` can be given, and those of Django's commands.",
)  # fmt: skip
"""The command line, as click reads it: only so is known what is a queue, and what an option's value."""


class Command(BaseCommand):
    """Of a command line it takes its process's place; nothing of Django is in the worker's own processes."""

    help = "Run jobs and maps of QUEUES on all cores; takes the options of taskq worker."
    stealth_options = tuple(str(one.name) for one in _LINE.params)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's, which has click read the line."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = partial(_read, parser.prog)
        return parser

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """As ``--help``."""
        _read(f"{Path(prog_name).name} {subcommand}", ["--help"])

    def handle(self, *queues: str, **options: Any) -> None:
        """Start the worker; of ``call_command``, come back when it has ended.

        Raises:
            CommandError: If django-rq's settings know no such queue, or the worker has ended by an error.
        """
        command = [sys.executable, "-m", "taskq", "worker", *_arguments(queues, options)]
        environment = dict(os.environ)
        if hasattr(settings, "RQ_QUEUES") and not options.get("url"):
            environment[_URL] = _url_of(_known(queues))
        if getattr(self, "_called_from_command_line", False):
            os.execve(sys.executable, command, environment)  # noqa: S606 - it is Python, by its path
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        with signals_go_to(process):
            code = process.wait()
        if code:
            raise CommandError(f"taskq worker has ended with the exit code {code}; its log says why")


def _read(prog: str, args: Sequence[str] | None = None, namespace: object = None) -> argparse.Namespace:  # noqa: ARG001
    """What Django's parser would find: the queues as ``args``, Django's options, and what is given of ours."""
    try:
        context = _LINE.make_context(prog, list(args or ()))
    except click.exceptions.Exit as asked:  # it has shown the help
        sys.exit(asked.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    always = {one.name for one in _OF_DJANGO}
    given = {
        name: value for name, value in context.params.items()
        if name in always or context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }  # fmt: skip
    return argparse.Namespace(**{**given, "args": context.params["queues"]})


def _arguments(queues: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The command line of ``taskq worker``."""
    known = _known(queues)
    found = _of_settings(known)
    told = {**found, **{name: value for name, value in options.items() if value is not None}}
    told["exception_handler"] = [*found["exception_handler"], *options.get("exception_handler", ())]
    if not {"log_level", "verbose", "quiet"} & told.keys() and told.get("verbosity", 1) != 1:
        told["log_level"] = _LEVELS.get(told["verbosity"], "debug")
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module:
        raise CommandError("the worker needs a settings module: set DJANGO_SETTINGS_MODULE, or give --settings")
    # Where Django has found modules: in the folder of manage.py, and before that in that of --pythonpath.
    folders = [folder or "." for folder in sys.path[: 2 if told.get("pythonpath") else 1]]
    arguments = [f"--django={module}", *(f"--path={folder}" for folder in folders)]
    for option in worker.params:
        if isinstance(option, click.Option) and option.name in told:
            arguments += _said(option, told[option.name])
    return [*arguments, "--", *known]


def _said(option: click.Option, value: Any) -> Iterable[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        return [name] if value else []
    return [f"{name}={one}" for one in (value if option.multiple else [value])]


def _known(queues: Sequence[str]) -> Sequence[str]:
    """The queues, as django-rq understands it.

    Raises:
        CommandError: If one of them is none.
    """
    known = getattr(settings, "RQ_QUEUES", None)
    if known is None:
        return queues
    queues = queues or ("default",)
    if unknown := [one for one in queues if one not in known]:
        raise CommandError(f"RQ_QUEUES has no queue {', '.join(unknown)}; it has {', '.join(known)}")
    return queues


def _of_settings(queues: Sequence[str]) -> dict[str, Any]:
    """What django-rq's settings say of handlers and classes."""
    rq = getattr(settings, "RQ", {})
    found: dict[str, Any] = {name: _path(rq[key]) for name, key in _CLASSES.items() if rq.get(key)}
    configured = getattr(settings, "RQ_QUEUES", {})
    classes = {configured[one]["QUEUE_CLASS"] for one in queues if configured.get(one, {}).get("QUEUE_CLASS")}
    if len(classes) > 1:
        raise CommandError(f"the queues {', '.join(queues)} have several classes; start a worker for each")
    if classes:
        found["queue_class"] = _path(classes.pop())
    handlers = [*getattr(settings, "RQ_EXCEPTION_HANDLERS", []), *rq.get("EXCEPTION_HANDLERS", [])]
    return {**found, "exception_handler": [*map(_path, handlers)]}


def _path(given: Any) -> str:
    return given if isinstance(given, str) else f"{given.__module__}.{given.__qualname__}"


def _url_of(queues: Sequence[str]) -> str:
    """Where django-rq has these queues, which must be on one server."""
    try:
        from django_rq import get_connection
    except ImportError as error:
        raise CommandError("RQ_QUEUES is read by django-rq, which is not installed; or give --url") from error
    found = {urls.whole_url_of(get_connection(one)) for one in queues}
    if len(found) > 1:
        raise CommandError(f"the queues {', '.join(queues)} are on several servers; start a worker for each")
    return found.pop()
