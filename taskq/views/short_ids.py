"""Short ids: what is shown of one that was drawn, and which job somebody means by the beginning of one.

Only ids that RQ or taskq have drawn, UUIDs, can be shortened. One that somebody has chosen means itself: who asks
for ``order-1``, and there is none any more, does not mean ``order-10``.
"""

from __future__ import annotations

import re
from typing import Any

from rq.job import Job

from taskq.errors import UsageError
from taskq.redis import ids
from taskq.views import backlog, listed

SHOWN = 8
"""Characters that are shown of an id that was drawn."""

LEAST = 4
"""Characters of which somebody who types them may expect that they are looked for."""

MOST = 1000
"""Ids of each status of each queue among which it is looked, the newest."""

_NAMED = 5  # ids that the error names
_DRAWN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ANY = "00000000-0000-0000-0000-000000000000"


def shortened(job_id: str) -> str:
    """As it is shown to people: the first ``SHOWN`` characters of an id that was drawn, any other whole."""
    return job_id[:SHOWN] if _DRAWN.fullmatch(job_id) else job_id


def whole(connection: Any, text: str, queue: str | None = None, least: int = LEAST) -> str:
    """The id that is meant: the text itself, or the only id of which it is the beginning.

    Args:
        connection: To Redis.
        text: An id, or the beginning of one that was drawn.
        queue: Name of the only queue whose jobs may be meant; None: all.
        least: How many characters a beginning has at least.

    Raises:
        UsageError: If several jobs may be meant.
    """
    if not _is_beginning(text, least) or (ids.read(text) and connection.exists(Job.key_for(text))):
        return text
    queues = [queue] if queue is not None else backlog.queue_names(connection, backlog.MOST)
    found = [one for one in listed.newest(connection, queues, listed.STATUSES, MOST)
             if one.startswith(text) and _DRAWN.fullmatch(one)]  # fmt: skip
    if len(found) > 1:
        named = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        raise UsageError(f"{len(found)} jobs have an id that begins with {text}: {named}. Give more of it")
    return found[0] if found else text


def _is_beginning(text: str, least: int) -> bool:
    return least <= len(text) < len(_ANY) and bool(_DRAWN.fullmatch(text + _ANY[len(text) :]))
