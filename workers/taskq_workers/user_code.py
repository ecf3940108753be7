"""Classes and handlers of the user's that jobs need: carried by services, loaded by pool processes only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rq import Queue, Worker
from rq.job import Job
from rq.job_lifecycle import call_exception_handlers
from rq.serializers import resolve_serializer
from rq.worker import BaseWorker, RandomWorker, RoundRobinWorker

from taskq.errors import FunctionError, ImportRefusedError, OptionError
from taskq.payload import codec
from taskq.payload.function import Function
from taskq_workers import hooks

STRATEGY_OF: dict[type, str] = {RoundRobinWorker: "round_robin", RandomWorker: "random"}
"""What RQ has worker classes for, and we an option."""

HOOKS = frozenset({"perform_job", "handle_exception"})
"""What pool processes call of a worker class."""


@dataclass(frozen=True)
class UserCode:
    """By name, as ``rq worker`` takes them, or as ``Function.of(object)``.

    Args:
        serializer: RQ's ``--serializer``: ``json``, ``pickle`` or a dotted path; None: taskq's codec, which reads
            all pickles.
        job_class: None: ``rq.job.Job``.
        queue_class: None: ``rq.Queue``. Of it only ``DEFAULT_TIMEOUT`` means anything to a worker.
        worker_class: None: ``rq.Worker``. Of it only what it makes of ``HOOKS`` means anything.
        exception_handlers: Called with the job and the exception's three parts, as RQ does.
        work_horse_killed_handler: Called with the job, the pid, the wait status and None, when a plain job's
            process has died.
        before_job: Called before each plain job, chunk and callback of a map, in its process: with the job, or
            with nothing, if they take nothing. Where one raises, the job fails; a chunk is left to other workers.
        after_job: The same afterwards, the last one first; what they raise is logged.
        django: Django's settings module; "" if there is none. Django is set up, and looks after its connections.
        app: A Flask app, or what makes one: each piece runs in its context.
    """

    serializer: Function | str | None = None
    job_class: Function | None = None
    queue_class: Function | None = None
    worker_class: Function | None = None
    exception_handlers: tuple[Function, ...] = ()
    work_horse_killed_handler: Function | None = None
    before_job: tuple[Function, ...] = ()
    after_job: tuple[Function, ...] = ()
    django: str = ""
    app: Function | None = None

    @property
    def hooks(self) -> int:
        """How many hooks are around each piece."""
        return len(self.before_job) + len(self.after_job)

    def load_serializer(self) -> Any:
        if self.serializer is None:
            return codec.Serializer
        return resolve_serializer(self.serializer if isinstance(self.serializer, str) else self.serializer.load())

    def load_job_class(self) -> type[Job]:
        return Job if self.job_class is None else self.job_class.load()

    def load_queue_class(self) -> type[Queue]:
        return Queue if self.queue_class is None else self.queue_class.load()

    def load_worker_class(self) -> type[Worker]:
        return Worker if self.worker_class is None else self.worker_class.load()

    def call_exception_handlers(self, job: Job, *exc_info: Any) -> None:
        """Raises whatever a handler raises, or its import."""
        call_exception_handlers([handler.load() for handler in self.exception_handlers], job, *exc_info)

    def set_up_django(self) -> None:
        """Have Django read its settings and load its apps.

        Raises:
            OptionError: If Django is not installed, or there is something wrong with them.
        """
        os.environ["DJANGO_SETTINGS_MODULE"] = self.django
        try:
            import django
        except ImportError as error:
            raise OptionError(f"--django {self.django}: Django is not installed") from error
        try:
            django.setup()
        except Exception as error:
            raise OptionError(f"--django {self.django}: {type(error).__name__}: {error}") from error

    def load_app(self) -> Any:
        """The Flask app.

        Raises:
            OptionError: If it is none, or can't be imported or made.
        """
        assert self.app is not None
        found = _loaded("--app", self.app)
        try:
            app = found() if isinstance(found, type) or not hasattr(found, "app_context") else found
        except Exception as error:
            raise OptionError(f"--app {self.app.name}: {type(error).__name__}: {error}") from error
        if not hasattr(app, "app_context"):
            raise OptionError(f"--app {self.app.name} is, or makes, a {type(app).__name__}, and no Flask app")
        return app

    def load_all(self) -> None:
        """Load everything.

        Raises:
            OptionError: If something can't be imported, may not be called by this worker (``--allow-import``), or
                is not what its option asks for; names the option.
        """
        try:
            self.load_serializer()
        except (ImportError, AttributeError, ValueError, NotImplementedError) as error:
            raise OptionError(f"--serializer {self.serializer}: {error}") from error
        if self.django:
            self.set_up_django()
        if self.app is not None:
            self.load_app()
        for option, given in self._functions():
            _loaded(option, given)
        _check_class(self.load_job_class(), Job, "--job-class", "redis_job_namespace_prefix")
        _check_class(self.load_queue_class(), Queue, "--queue-class", "redis_queue_namespace_prefix")
        _check_worker_class(self.load_worker_class())
        for hook in (*self.before_job, *self.after_job):
            hooks.check(hook.load(), hook.name)
        for handler in (*self.exception_handlers, self.work_horse_killed_handler):
            if handler is not None and not callable(handler.load()):
                raise OptionError(f"the handler {handler.name} can't be called")

    def _functions(self) -> Iterator[tuple[str, Function]]:
        """What is loaded by name, with the options that have named it."""
        yield from (("--before-job", one) for one in self.before_job)
        yield from (("--after-job", one) for one in self.after_job)
        yield from (("--exception-handler", one) for one in self.exception_handlers)
        for option, one in (
            ("--job-class", self.job_class), ("--queue-class", self.queue_class),
            ("--worker-class", self.worker_class), ("--work-horse-killed-handler", self.work_horse_killed_handler),
        ):  # fmt: skip
            if one is not None:
                yield option, one


def _loaded(option: str, given: Function) -> Any:
    """What an option names.

    Raises:
        OptionError: If it can't be loaded, or may not be called here.
    """
    try:
        return given.load()
    except ImportRefusedError as error:
        raise OptionError(f"{option}: {error}") from error
    except FunctionError as error:
        why = error.__cause__ or error
        raise OptionError(f"{option} {given.name}: {why} The worker looks in {sys.path!r}.") from error


def _check_worker_class(given: Any) -> None:
    if not isinstance(given, type) or not issubclass(given, BaseWorker):
        raise OptionError(f"--worker-class needs a subclass of rq.Worker, not {given!r}")
    name = given.__qualname__
    for one in given.__mro__:
        if one in STRATEGY_OF:
            strategy = STRATEGY_OF[one]
            raise OptionError(
                f"--worker-class: derive {name} from rq.Worker, and say --dequeue-strategy {strategy}"
            )
    own = [kind for kind in given.__mro__ if kind.__module__.partition(".")[0] not in ("rq", "taskq", "builtins")]
    changed = {part for kind in own for part in vars(kind) if hasattr(Worker, part) and not part.startswith("__")}
    if changed - HOOKS:
        raise OptionError(
            f"--worker-class: {name} changes {', '.join(sorted(changed - HOOKS))}, which a service does in its "
            f"own way. What pool processes call of it are {' and '.join(sorted(HOOKS))}"
        )


def _check_class(given: Any, base: type, option: str, prefix: str) -> None:
    if not isinstance(given, type) or not issubclass(given, base):
        raise OptionError(f"{option} needs a subclass of {base.__module__}.{base.__qualname__}, not {given!r}")
    if getattr(given, prefix) != getattr(base, prefix):
        raise OptionError(
            f"{option}: {given.__qualname__} has a {prefix} of its own. A service keeps the books of jobs without "
            "loading classes of the user's; set RQ_KEY_PREFIX in the environment of all programs instead."
        )
