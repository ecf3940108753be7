"""RQ's worker as far as a pool process is one: what others patch or override there is called here, too.

sentry-sdk, ddtrace and many projects wrap ``perform_job`` or ``handle_exception`` of RQ's worker. In a pool
process these are called of a ``Horse``, which keeps them and leaves RQ's books to the service. ``perform_job``
costs more than a no-op job does, so as long as it is as RQ has written it, nobody would notice, and it is not
called.
"""

from __future__ import annotations

import types
from typing import Any, Protocol, cast

from rq import Worker
from rq.executions import Execution
from rq.job import Job
from rq.worker import base

from taskq.redis import connection
from taskq_workers.process.alarm import Alarm
from taskq_workers.user_code import UserCode

_NO_TIMEOUT = -1


class Run(Protocol):
    """One run of a job: what ``perform_job`` is about."""

    job: Job

    def succeed(self, value: Any) -> None:
        """It has returned this."""

    def fail(self, exc_info: Any) -> None:
        """It, or what followed, has raised this."""


def seconds_of(timeout: float) -> int:
    """For ``signal.alarm``; 0 switches it off."""
    return 0 if timeout == _NO_TIMEOUT else max(1, int(timeout))


class Penalty(Alarm):
    """RQ's, whose alarm wants whole seconds; -1 is no limit."""

    def __init__(self, timeout: float, exception: Any, **options: Any) -> None:
        super().__init__(seconds_of(timeout), exception, **options)


class Horse(Worker):
    """Performs jobs, and hands over to their runs how they end; writes nothing to Redis.

    Where the user has a worker class, what this has overridden comes before RQ's.

    Args:
        user: Whose exception handlers it has; they are loaded.
        name: Of the service, as RQ knows it.
    """

    death_penalty_class = Penalty
    _run: Run

    def __init__(self, user: UserCode, name: str) -> None:
        handlers = [handler.load() for handler in user.exception_handlers]
        super().__init__(
            [], name, connection=connection.shared(), exception_handlers=handlers,
            queue_class=user.load_queue_class(), job_class=user.load_job_class(), prepare_for_work=False,
        )  # fmt: skip
        self._is_horse = True  # this may be its last job: who collects something must send it now

    def perform(self, run: Run, execution_id: str) -> None:
        """Have ``perform_job`` called, by whoever has put himself around it."""
        self._run, job = run, run.job
        queue = self.queue_class(job.origin, connection=self.connection, job_class=self.job_class,
                                 serializer=job.serializer)  # fmt: skip
        try:
            self.perform_job(job, queue, Execution(execution_id, job.id, self.connection, self.name))
        finally:
            del self._run  # with the job's value, which may be large

    def _set_connection(self, connection: Any) -> Any:
        return connection  # which RQ would give other timeouts

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """The service has done so."""

    def _finalize_success(self, *args: Any) -> None:
        self._run.succeed(args[-1])

    def _finalize_failure(self, *args: Any) -> None:
        self._run.fail(args[-1])


_horses: dict[str, Horse] = {}  # by name; of the service that this process works for, there is one


def of(user: UserCode, name: str) -> Horse:
    """The horse of this process.

    Raises:
        FunctionError: If a handler or class can't be loaded.
    """
    if name not in _horses:
        _horses[name] = _class_for(user.load_worker_class())(user, name)
    return _horses[name]


def _class_for(users: type[Worker]) -> type[Horse]:
    if users is Worker:
        return Horse
    made: Any = type(users.__name__, (Horse, users), {"__module__": users.__module__})
    return cast("type[Horse]", made)


_as_rq_has_it: Any = None  # the code of perform_job, as it was seen to be RQ's own


def is_wanted(user: UserCode) -> bool:
    """Whether somebody would notice if ``perform_job`` were not called.

    Raises:
        FunctionError: If the user's worker class can't be loaded.
    """
    global _as_rq_has_it  # noqa: PLW0603 - asked before each job, and hardly ever another
    performs: Any = user.load_worker_class().perform_job
    if type(performs) is not types.FunctionType:  # wrapt's, and so ddtrace's, say that they are one
        return True
    if performs.__code__ is not _as_rq_has_it:
        if performs.__code__ != _of_rq("perform_job"):  # others put other code into the very function
            return True
        _as_rq_has_it = performs.__code__
    return False


def _of_rq(name: str) -> types.CodeType | None:
    """The code of a method of RQ's worker, as it is in RQ's file."""
    module: Any = base
    codes = [module.__loader__.get_code(module.__name__)]
    while codes:
        code = codes.pop()
        if code.co_name == name:
            return cast("types.CodeType", code)
        codes += [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return None
