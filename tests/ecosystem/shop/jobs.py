"""The project's own classes of jobs and workers."""

from __future__ import annotations

from typing import Any

from rq import Worker
from rq.job import Job


class ShopJob(Job):
    def perform(self) -> Any:
        self.meta["of"] = "ShopJob"
        self.save_meta()
        return super().perform()


class ShopWorker(Worker):
    def perform_job(self, job: Job, *args: Any) -> bool:
        job.meta["by"] = "ShopWorker"
        return super().perform_job(job, *args)
