"""What can arrive in the dispatcher's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rq

from taskq_workers.lanes.lane import Lane


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
    """A fetcher has taken jobs from its queue, or can't know whether it has.

    Args:
        ticket: With it the ids of their executions begin; see ``State.tickets``.
        reply: For ``short_path.read_take``; None: it was lost.
    """

    queue: rq.Queue
    ticket: str
    reply: list[Any] | int | None


@dataclass(frozen=True)
class Quiet:
    """Nothing has come for a moment after something was fetched; the fetcher may wait for the next."""


@dataclass(frozen=True)
class Broken:
    """Somebody who acted in the dispatcher's place came upon what should not be."""

    error: BaseException


@dataclass(frozen=True)
class Message:
    """Something came on RQ's command channel."""

    payload: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """Drain, until this moment of the monotonic clock at most."""

    deadline: float


Event = Done | Died | Fetched | Quiet | Broken | Message | Stop
