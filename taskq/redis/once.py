"""Says a transaction once, though redis-py says again whatever it has heard no reply to.

The server may have made it: then jobs that are pushed would stand in their queue twice, and run twice.
"""

from __future__ import annotations

from typing import Any

from rq.job import Job
from rq.utils import utcformat


def push(pipe: Any, job: Job) -> None:
    """Execute a transaction that enqueues jobs; again only if the job is not there as it was enqueued by it.

    That is looked at in each further try itself, so that a server which is away for longer costs none of them.

    Args:
        pipe: redis-py's pipeline, a transaction.
        job: One of those that are enqueued by it.

    Not guaranteed: A job that has ended meanwhile and left nothing (``result_ttl=0``) is enqueued again.
    """
    assert job.enqueued_at is not None
    ours = utcformat(job.enqueued_at).encode()
    execute, tried = pipe._execute_transaction, False

    def once(connection: Any, *args: Any) -> Any:
        nonlocal tried
        if tried:
            connection.send_command("HGET", job.key, "enqueued_at")
            if connection.read_response() == ours:
                return []
        tried = True
        return execute(connection, *args)

    pipe._execute_transaction = once
    pipe.execute()
