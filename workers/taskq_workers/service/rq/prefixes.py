"""What RQ's keys begin with, for our scripts: asked of RQ, and spelled nowhere."""

from __future__ import annotations

import rq
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.results import Result

QUEUE = rq.Queue.redis_queue_namespace_prefix
JOB = Job.redis_job_namespace_prefix
EXECUTION = Execution("", "", None).key.removesuffix(":")  # type: ignore[arg-type]
EXECUTIONS = ExecutionRegistry.key_template.format("")
RESULTS = Result.get_key("")
WIP = StartedJobRegistry.key_template.format("")
FAILED = FailedJobRegistry.key_template.format("")
FINISHED = FinishedJobRegistry.key_template.format("")
