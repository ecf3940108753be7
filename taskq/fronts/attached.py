"""``Pool.attach``: a pool that another program has made, and feeds or has fed, is looked at from here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rq.exceptions import InvalidJobOperation

from taskq.errors import OptionError
from taskq.maps.job import MapJob
from taskq.queue import Queue


class Attached:
    """The calls of a pool with a name: their results are there for every program, the pool's own or another one.

    Nothing can be submitted here: only the program that has made the pool does that.
    """

    def __init__(self, job: MapJob[Any]) -> None:
        self.job = job

    @classmethod
    def of(cls, name: str, queue: Queue) -> Attached:
        """The pool of this name.

        Raises:
            OptionError: If there is none on this queue; or an argument is unusable.
        """
        if not isinstance(queue, Queue):
            raise OptionError(f"queue must be a taskq.Queue, not {queue!r}")
        if not isinstance(name, str):
            raise OptionError(f"the name of a pool is a string, not {name!r}")
        job = queue.fetch_job(name)
        if not isinstance(job, MapJob):
            raise OptionError(f"there is no pool {name!r} on the queue {queue.name!r}")
        return cls(job)

    def results(self, timeout: float | None = None) -> list[Any]:
        """All results, in the order in which the calls were submitted; waits until the pool has ended.

        A pool ends when it is closed, and all that was submitted has ended; or, if its program has died, that.

        Args:
            timeout: Seconds; None: for ever.

        Raises:
            As ``MapJob.get``; ``NestedWaitError`` if the pool is this program's own, and only this thread is left
                to close it.
        """
        return self.job.get(timeout)

    def __iter__(self) -> Iterator[Any]:
        """The same, one by one, each as soon as it is there: ``MapJob.in_order``.

        A call that failed raises in its place, and the next ``next`` goes on behind it. In the place of one that
        was not run, since the pool has ended early, it ends with ``MapCanceledError`` or ``MapFailedError``.
        """
        return self.job.in_order()

    def join(self) -> None:
        """Wait until the pool has ended; raises as ``MapJob.wait``."""
        self.job.wait()

    def terminate(self) -> None:
        """Cancel it, whoever feeds it; what runs is killed."""
        with suppress(InvalidJobOperation):  # it has ended
            self.job.cancel(kill=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Nothing ends: it is not this program's."""
