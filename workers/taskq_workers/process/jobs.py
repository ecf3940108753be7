"""The RQ jobs that user code sees in a pool process, and what of the user's they are made of."""

from __future__ import annotations

from typing import Any

from taskq.payload import codec
from taskq.payload.signed_job import SignedJob, signing_class
from taskq.redis import connection, keys
from taskq_workers.user_code import UserCode

_user = UserCode()


def use(user: UserCode) -> None:
    """Load these classes and handlers of the user's, where jobs need them."""
    global _user  # noqa: PLW0603 - a process has one
    _user = user


def user_code() -> UserCode:
    """What this process uses of the user's."""
    return _user


def job_of(job_id: str, fields: dict[bytes, bytes], worker: str = "") -> SignedJob:
    """The job as user code sees it, a ``MapJob`` if it is a map; a map's pickles are always ours."""
    serializer = codec.Serializer if keys.JOB_KIND.encode() in fields else _user.load_serializer()
    kind: Any = signing_class(_user.load_job_class())
    job: SignedJob = kind(job_id, connection=connection.shared())
    # Given to the constructor, RQ would look each time whether it is one: a fifth of all it takes to run a no-op.
    job.serializer = serializer
    job.restore(fields)
    job.worker_name = worker or job.worker_name
    return job
