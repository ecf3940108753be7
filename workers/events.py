"""What can arrive in the dispatcher's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rq

from workers.lane import Lane


@dataclass(frozen=True)
class Done:
    """A pool process has finished a task, or all of a batch.

    Args:
        ends: Of each task its number, and its ``ChunkOutcome``, ``ChunkRefused`` or ``JobOutcome``.
    """

    lane: Lane
    ends: list[tuple[int, Any]]


@dataclass(frozen=True)
class Died:
    """A pool process was found dead."""

    lane: Lane


@dataclass(frozen=True)
class Fetched:
    """A job id was moved from a queue to its intermediate list, for us."""

    queue: rq.Queue
    job_id: str


@dataclass(frozen=True)
class Message:
    """Something came on RQ's command channel."""

    payload: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """Drain, until this moment of the monotonic clock at most."""

    deadline: float


Event = Done | Died | Fetched | Message | Stop
