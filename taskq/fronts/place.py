"""Where a front's calls run: by the workers of a queue, or in processes of its own, beside a server of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from taskq.errors import OptionError
from taskq.local import local
from taskq.queue import Queue
from taskq.redis.connection import default_url, in_worker


class Place:
    """A queue, and what was started for it.

    Args:
        queue: Whose workers run what is submitted; None: see ``url``.
        url: Instead of a queue, its server's; None: that of ``TASKQ_URL``, or of the worker in whose process this
            is.
            Without any, a private server and workers of its own are started, which end with the front.
        processes: Of workers of its own; None: the cores.
        max_tasks: Tasks after which a process of its own is replaced; None: never.
        environment: Variables that workers of its own get beside this program's.
        payload_limit: Of a queue that is made here; None: the usual one. See ``Queue``.

    Raises:
        OptionError: If both are given, or ``max_tasks`` without workers of its own, or ``payload_limit`` with a
            queue, which has its own; or a number is none.
        ServerError: If workers of its own do not start.
    """

    def __init__(
        self,
        queue: Queue | None,
        url: str | None,
        processes: int | None,
        max_tasks: int | None = None,
        environment: Mapping[str, str] | None = None,
        payload_limit: int | None = None,
    ) -> None:
        _check(queue, url, max_tasks, payload_limit)
        limit: dict[str, Any] = {} if payload_limit is None else {"payload_limit": payload_limit}
        self._stack = ExitStack()
        self.own = queue is None and url is None and not in_worker() and not os.environ.get("TASKQ_URL")
        if max_tasks is not None and not self.own:
            raise OptionError(
                "tasks are counted for a child (maxtasksperchild, max_tasks_per_child) that is a process of the "
                "program's own; these are of workers: taskq worker --max-tasks-per-child"
            )
        if self.own:
            more = ("--max-tasks-per-child", str(max_tasks)) if max_tasks else ()
            started = local(processes, worker_options=more, environment=environment, **limit)
            self.queue = self._stack.enter_context(started)
        else:
            self.queue = queue if queue is not None else Queue(url=url or default_url(), **limit)
            if queue is None:
                self._stack.callback(self.queue.connection.close)
        self.processes = processes

    def close(self) -> None:
        """End what was started."""
        self._stack.close()


def _check(queue: Any, url: Any, max_tasks: Any, payload_limit: Any) -> None:
    if queue is not None and url is not None:
        raise OptionError("give either a queue or a url, not both")
    if queue is not None and not isinstance(queue, Queue):
        raise OptionError(f"queue must be a taskq.Queue, not {queue!r}")
    if max_tasks is not None:
        check_count("maxtasksperchild", max_tasks)
    if payload_limit is not None:
        check_count("payload_limit", payload_limit)
        if queue is not None:
            raise OptionError("payload_limit is the queue's own: give it to Queue(payload_limit=...)")


def check_count(name: str, value: Any) -> None:
    """See that it is a whole number from 1 on.

    Raises:
        OptionError: If not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} must be greater than 0 and a whole number, not {value!r}")
