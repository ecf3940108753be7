"""The user's hooks around a piece of user code, each in its time.

A hook has as long as what it is around: a plain job's timeout, or that of a map's item, else of the map. One that
hangs would else hold its process for ever, or until the service ends it for the job's sake.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rq.job import Job
from rq.timeouts import JobTimeoutException

from taskq.payload.function import Function
from taskq_workers import hooks
from taskq_workers.process import horse, jobs

log = logging.getLogger(__name__)

Caller = Callable[..., Any]  # calls its first argument with the others, as all user code is called


@dataclass(frozen=True)
class Hook:
    """One of them, with its path."""

    name: str
    call: Callable[[Job], Any]

    @classmethod
    def load(cls, function: Function) -> Hook:
        """The hook, as it is called: those that need nothing, such as the ``remove`` of a session, get nothing.

        Raises:
            FunctionError: If it can't be imported.
        """
        given = function.load()
        return cls(function.name, given if hooks.takes_job(given) else lambda _job: given())

    def run(self, call: Caller, job: Job, seconds: float) -> None:
        """Call it.

        Raises:
            JobTimeoutException: After so many seconds, -1: never; says which hook it was.
            BaseException: Whatever it raises.
        """
        with _Limit(self.name, seconds):
            call(self.call, job)


class _Limit(horse.Penalty):
    def __init__(self, hook: str, seconds: float) -> None:
        super().__init__(math.ceil(seconds), JobTimeoutException)
        self._hook = hook

    def handle_death_penalty(self, _signum: int, _frame: Any) -> None:
        raise self._exception(f"the hook {self._hook} ran longer than {self._timeout} s, which is its job's time")


@contextmanager
def hooked(
    before: Sequence[Hook], after: Sequence[Hook], call: Caller, job: Job, item_timeout: float
) -> Iterator[None]:
    """Run them around a block. What an after-hook raises is logged, and changes nothing."""
    seconds = item_timeout or job.timeout or jobs.user_code().load_queue_class().DEFAULT_TIMEOUT
    try:
        for hook in before:
            hook.run(call, job, seconds)
        yield
    finally:
        for hook in reversed(after):
            try:
                hook.run(call, job, seconds)
            except BaseException:
                log.exception("after the job %s: the hook %s failed", job.id, hook.name,
                              extra={"action": "hook_failed"})  # fmt: skip
