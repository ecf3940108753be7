"""Ids of jobs: new ones, and which a job can have: asked of every id that comes out of Redis, where it comes out.

RQ gives a job no other id, and raises where it meets one; anybody with write access can put one into a list.
"""

from __future__ import annotations

import os
import re

from rq.job import JOB_ID_PATTERN

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")

LONGEST = 10_000  # characters; RQ knows no limit, and every message about a job holds its id


def read(raw: bytes | str) -> str | None:
    """The id as text; None if no job can have it."""
    try:
        text = raw if isinstance(raw, str) else raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LONGEST and JOB_ID_PATTERN.fullmatch(text) else None


def is_name(name: object) -> bool:
    """Whether a queue, a free list, a lock or a value can be called that."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def of_execution(member: bytes | str) -> str | None:
    """The id of the job, of a member such as ``job:execution`` of RQ's lists of what runs; None if it is none."""
    text = member if isinstance(member, str) else member.decode("ascii", "replace")
    job_id, _, execution = text.partition(":")
    return read(job_id) if read(execution) else None


def draw() -> str:
    """A new id as RQ draws them, a UUID of version 4; ``uuid`` takes a tenth of a job's pushing to make one.

    RFC 9562, section 5.4.
    """
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
