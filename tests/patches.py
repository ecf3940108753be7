"""What sentry-sdk, ddtrace and the like do to RQ's worker, in whatever process imports this: they wrap it."""

from __future__ import annotations

import functools
import json
from typing import Any

from rq.worker.base import BaseWorker


def _wrap(name: str) -> None:
    original = getattr(BaseWorker, name)

    @functools.wraps(original)
    def wrapped(self: BaseWorker, job: Any, *args: Any) -> Any:
        seen = {"what": name, "job": job.id, "function": job.func_name, "worker": self.name}
        if name == "perform_job":
            queue, execution = args
            seen |= {"horse": self.is_horse, "queue": queue.name, "execution": execution.composite_key}
        try:
            return original(self, job, *args)
        finally:
            if name == "perform_job":
                seen["status"] = job.get_status()
            self.connection.rpush("test:patched", json.dumps(seen))

    setattr(BaseWorker, name, wrapped)


for _name in ("perform_job", "handle_exception"):
    _wrap(_name)
