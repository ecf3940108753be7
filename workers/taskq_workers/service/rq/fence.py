"""Has RQ's methods record the end of an execution only while it is held: its entry goes in their transaction.

RQ's code makes a pipeline of the worker's connection, says what there is to say, and executes it. Behind a fence
that transaction watches the index of what the worker holds, and is not made if the entry is gone: the end is on
record, or we were given up for dead and the job is somebody else's.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from redis.client import Pipeline
from redis.exceptions import WatchError


class NotHeldError(BaseException):
    """The execution is not ours any more; nothing was written.

    Not an ``Exception``: those RQ logs, and goes on as if the end were on record.
    """


class Fence:
    """A connection as RQ's methods use it.

    Args:
        connection: The real one.
        index: The key of what the worker holds.
        entry: Of the execution.
    """

    def __init__(self, connection: Any, index: str, entry: str) -> None:
        self._connection = connection
        self._index = index
        self._entry = entry

    def pipeline(self) -> FencedPipeline:
        return FencedPipeline(self._connection.pipeline(), self._index, self._entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class FencedPipeline:
    """redis-py's pipeline, but for what begins and ends its transaction.

    Raises:
        NotHeldError: Instead of executing.
    """

    def __init__(self, pipe: Pipeline, index: str, entry: str) -> None:
        self._pipe = pipe
        self._index = index
        self._entry = entry

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def watch(self, *names: str) -> None:
        self._pipe.watch(*names, self._index)
        if not self._pipe.hexists(self._index, self._entry):
            raise NotHeldError(self._entry)

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
