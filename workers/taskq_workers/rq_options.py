"""What ``rq worker`` can be told, and ours too: by the same names, with the same meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rq.defaults import (
    DEFAULT_JOB_MONITORING_INTERVAL,
    DEFAULT_MAINTENANCE_TASK_INTERVAL,
    DEFAULT_RESULT_TTL,
    DEFAULT_WORKER_TTL,
)

from taskq.errors import OptionError
from taskq_workers.user_code import UserCode

STRATEGIES = ("default", "round_robin", "random")
_LEAST = {
    "worker_ttl": 1,
    "maintenance_interval": 0,
    "job_monitoring_interval": 1,
    "max_jobs": 1,
    "max_idle_time": 0,
}
_NAME = re.compile(r"[\w.@+-]{1,100}")


@dataclass(frozen=True)
class RQOptions:
    """One field for each option of ``rq worker`` that means something here.

    Args:
        user: Classes and handlers of the user's; only pool processes load them.
        name: Begins the names of the RQ workers, which also say the host's service and its incarnation.
        results_ttl: Seconds a plain job's result is kept, unless the job says otherwise.
        worker_ttl: Seconds after which an RQ worker without a heartbeat is no longer shown.
        maintenance_interval: Seconds between two cleanings of RQ's registries; None: never.
        job_monitoring_interval: Seconds between two heartbeats of a running job.
        disable_default_exception_handler: A failed job gets no place among the failed ones.
        burst: End when the queues are empty.
        max_jobs: End after so many jobs, in each service; a map counts as one.
        max_idle_time: End after so many seconds without a job.
        dequeue_strategy: Which of several queues comes next: ``STRATEGIES``.
        with_scheduler: Also enqueue what is due of ``enqueue_at``, ``enqueue_in`` and retries with an interval.
    """

    user: UserCode = field(default_factory=UserCode)
    name: str = ""
    results_ttl: int = DEFAULT_RESULT_TTL
    worker_ttl: int = DEFAULT_WORKER_TTL
    maintenance_interval: int | None = DEFAULT_MAINTENANCE_TASK_INTERVAL
    job_monitoring_interval: int = DEFAULT_JOB_MONITORING_INTERVAL
    disable_default_exception_handler: bool = False
    burst: bool = False
    max_jobs: int | None = None
    max_idle_time: float | None = None
    dequeue_strategy: str = "default"
    with_scheduler: bool = False

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise OptionError(f"a worker's name may hold letters, digits and _.@+- only, not {self.name!r}")
        if self.dequeue_strategy not in STRATEGIES:
            raise OptionError(
                f"dequeue_strategy must be one of {', '.join(STRATEGIES)}, not {self.dequeue_strategy!r}"
            )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} must be at least {least}, not {value}")

    def worker_arguments(self) -> dict[str, Any]:
        """What RQ's own worker class is to be told of it."""
        return {
            "default_result_ttl": self.results_ttl,
            "worker_ttl": self.worker_ttl,
            "maintenance_interval": self.maintenance_interval,
            "job_monitoring_interval": self.job_monitoring_interval,
            "disable_default_exception_handler": self.disable_default_exception_handler,
        }
