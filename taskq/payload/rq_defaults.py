"""RQ's own defaults in a program that has a secret key and imports taskq: what RQ reads is signed, or not read.

RQ's ``Job.fetch``, ``Queue.jobs``, ``Group.get_jobs``, ``rq requeue``, ``rq info`` and others unpickle what they
find (``docs/security.md`` lists them), by a default serializer and a default job class. Here

- the default serializer reads no pickle at all: it does not know of which job one is, and can't check a signature;
- the default job class of ``rq.Queue`` is ``SignedJob``, which does, and signs what it writes;
- a job of another class has no callbacks: their names stand in its hash, and who wrote that is not known.

``rq.job.Job`` itself stays what it is otherwise. Who fetches by it gets a job whose meta, arguments and results
can't be read; nothing of it was run. Without a key nothing changes.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

import rq
from rq.job import Job
from rq.serializers import DefaultSerializer

from taskq.errors import SignatureError
from taskq.payload import signing
from taskq.payload.signed_job import SignedJob, Unguarded

_CALLBACKS = ("success", "failure", "stopped")


def guard() -> None:
    """Replace the defaults; to be called when taskq is imported, and once is enough."""
    if DefaultSerializer in Unguarded.instead_of:
        return
    Unguarded.instead_of.add(DefaultSerializer)
    DefaultSerializer.loads = staticmethod(_loads)  # type: ignore[assignment,misc,unused-ignore]
    for which in _CALLBACKS:
        setattr(Job, f"{which}_callback", _guarded(which))
    if {signing.VARIABLE, signing.FILE} & set(os.environ) and rq.Queue.job_class is Job:
        rq.Queue.job_class = SignedJob


def _loads(data: bytes, /) -> Any:
    if signing.keyring():
        raise SignatureError(
            f"RQ's default serializer can't check signatures, and {signing.VARIABLE} is set here: so this was not "
            "read. Fetch jobs by taskq.Queue.fetch_job, or taskq.payload.signed_job.SignedJob.fetch. For pickles "
            "of others that you trust, give RQ a serializer: the module pickle is one."
        )
    return pickle.loads(data)


def _guarded(which: str) -> property:
    """RQ's property for a job's callback, which it imports; where there is a key, of signed jobs only."""
    original: Any = getattr(Job, f"{which}_callback").fget

    def callback(job: Job) -> Any:
        name = getattr(job, f"_{which}_callback_name")
        if name and signing.keyring() and not isinstance(job, SignedJob):
            raise SignatureError(
                f"the {which} callback of the job {job.id} was not imported: {signing.VARIABLE} is set here, and "
                f"a {type(job).__name__} can't check whether it is signed. Use taskq.payload.signed_job.SignedJob."
            )
        return original(job)

    return property(callback)
