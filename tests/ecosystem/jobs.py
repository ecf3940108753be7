"""Jobs of the packages' tests."""

from __future__ import annotations

from rq import get_current_job

from tests.ecosystem.common import tell


def square(n: int) -> int:
    return n * n


def fail(n: int) -> None:
    raise ValueError(f"no {n}")


def note(what: str) -> str:
    """Tell of each run, for a job that runs several times has one result at most."""
    job = get_current_job()
    assert job is not None
    tell({"ran": what, "job": job.id})
    return what
