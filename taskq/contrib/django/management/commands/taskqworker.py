"""``manage.py taskqworker``: ``taskq worker`` for a Django project, on the queues of django-rq's settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from taskq.redis import urls

_URL = "TASKQ_URL"
_DJANGO = ("--settings", "--pythonpath")  # which manage.py has obeyed already


class Command(BaseCommand):
    """Takes the place of its process, so that nothing of Django is in the worker's own processes."""

    help = "Run jobs and maps of QUEUES on all cores; takes the options of taskq worker (see there)."

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """As Django calls it; all that follows the command is for ``taskq worker``."""
        self.handle(*_without_django_s(argv[2:]))

    def handle(self, *arguments: str, **_options: Any) -> NoReturn:
        """Start the worker.

        Raises:
            CommandError: If django-rq's settings know no such queue.
        """
        known = getattr(settings, "RQ_QUEUES", {})
        named = [one for one in arguments if one in known]
        command = [sys.executable, "-m", "taskq", "worker", "--django", os.environ["DJANGO_SETTINGS_MODULE"],
                   "--path", sys.path[0] or ".", *_handlers(), *arguments]  # fmt: skip
        if known and not named:
            named = ["default"]
            command.append("default")
        environment = dict(os.environ)
        if known and not {"-u", "--url"}.intersection(arguments):
            environment[_URL] = _url_of(named)
        os.execve(sys.executable, command, environment)  # noqa: S606 - it is Python, by its path


def _without_django_s(arguments: Sequence[str]) -> list[str]:
    kept, rest = [], iter(arguments)
    for one in rest:
        if one in _DJANGO:
            next(rest, None)
        elif not one.startswith(tuple(f"{name}=" for name in _DJANGO)):
            kept.append(one)
    return kept


def _handlers() -> list[str]:
    return [f"--exception-handler={path}" for path in getattr(settings, "RQ_EXCEPTION_HANDLERS", [])]


def _url_of(queues: Sequence[str]) -> str:
    """Where django-rq has these queues, which must be on one server."""
    try:
        from django_rq import get_connection
    except ImportError as error:
        raise CommandError("RQ_QUEUES is read by django-rq, which is not installed; or give --url") from error
    try:
        found = {urls.whole_url_of(get_connection(one)) for one in queues}
    except KeyError as error:
        raise CommandError(f"RQ_QUEUES has no queue {error}") from error
    if len(found) > 1:
        raise CommandError(f"the queues {', '.join(queues)} are on several servers; start a worker for each")
    return found.pop()
