"""Has RQ's methods record the end of an execution only while it is held: its entry goes in their transaction.

RQ's code makes a pipeline of the worker's connection, says what there is to say, and executes it. Behind a fence
that transaction watches the index of what the worker holds, and is not made if the entry is gone: the end is on
record, or we were given up for dead and the job is somebody else's. It watches the job, too: another may have been
pushed with its id since, and then the end would be recorded of one that has not begun; or, of a map, somebody
has cancelled it, and a failure that is to be tried again would undo that; or its success is on record, for its id
has come into RQ's lists twice, and two services have begun it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.client import Pipeline
from redis.exceptions import WatchError

from taskq.errors import DamagedError
from taskq.redis import keys, kinds, lives

_OVER = (b"canceled", b"stopped", b"finished")  # what RQ calls a job that is not to be tried again


class NotHeldError(BaseException):
    """The execution is not ours any more; nothing was written.

    Not an ``Exception``: those RQ logs, and goes on as if the end were on record.
    """


class ReplacedJobError(NotHeldError):
    """The execution is ours, and its job was deleted, cancelled, ended by another or pushed again."""


@dataclass(frozen=True)
class Guard:
    """What must be so in the moment in which an end is recorded.

    Args:
        index: The key of what the worker holds.
        entry: Of the execution, which is there.
        job: The key of the job's hash; "": it is not asked.
        mark: What stands there of the kind of job, and which one (``kinds.py``); "": it is a plain one.
        made: What stands there of when it was pushed; empty: that is not known.
    """

    index: str
    entry: str
    job: str = ""
    mark: str = ""
    made: bytes = b""

    def watch(self, pipe: Pipeline, *names: str) -> None:
        """See that it is so, and have the transaction fail if that changes.

        Raises:
            NotHeldError: If not.
            DamagedError: If the job is the one that it was, and its mark is not.
        """
        pipe.watch(*names, self.index, *([self.job] if self.job else []))
        if not pipe.hexists(self.index, self.entry):
            raise NotHeldError(self.entry)
        if self.job:
            found: Any = pipe.hmget(self.job, *kinds.FIELDS, "status")
            mark, made, status = found
            is_gone = mark is made is status is None
            is_another = lives.is_another(pipe, self.entry, self.made, made)
            over = self.mark and status in _OVER and lives.is_over(pipe, self.entry.partition(":")[0], status)
            if is_gone or is_another or over:
                raise ReplacedJobError(self.entry)
            if (mark or b"") != self.mark.encode():
                raise DamagedError(f"the field {keys.JOB_KIND} of {self.job} was changed: it is {mark!r:.80}")


class Fence:
    """A connection as RQ's methods use it.

    Args:
        connection: The real one.
        guard: See there.
    """

    def __init__(self, connection: Any, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def pipeline(self) -> FencedPipeline:
        return FencedPipeline(self._connection.pipeline(), self._guard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class FencedPipeline:
    """redis-py's pipeline, but for what begins and ends its transaction.

    Raises:
        NotHeldError: Instead of executing.
    """

    def __init__(self, pipe: Pipeline, guard: Guard) -> None:
        self._pipe = pipe
        self._guard = guard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def watch(self, *names: str) -> None:
        self._guard.watch(self._pipe, *names)

    def execute(self) -> Any:
        pipe = self._pipe
        if pipe.watching:  # by ``watch``; RQ itself begins anew if it was in vain
            return pipe.execute()
        commands, scripts = pipe.command_stack, pipe.scripts
        while True:
            pipe.command_stack = []
            self.watch()
            pipe.multi()
            pipe.command_stack, pipe.scripts = list(commands), set(scripts)
            try:
                return pipe.execute()
            except WatchError:  # another job has just come, or was taken from us
                continue
