"""What a service counts, for Prometheus: a few additions to a dictionary for each chunk, sent once a second."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from taskq.payload.outcome import ChunkOutcome
from taskq.redis import keys
from taskq.views.metrics import SUM, bucket, field
from taskq_workers import clock


class Meter:
    """Counts since the last ``sent``; see ``taskq.views.metrics`` for the names.

    A service that is killed takes what it has counted in its last second with it. If the reply to a send is
    lost, the same is sent again, so a count may be too high after an outage. Results are never counted from here.
    """

    def __init__(self) -> None:
        self._new: defaultdict[str, float] = defaultdict(float)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self._new[field(name, *labels)] += by

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add a value to a histogram."""
        self._new[field(name, *labels, bucket(name, value))] += 1
        self._new[field(name, *labels, SUM)] += value

    def committed(self, outcome: ChunkOutcome) -> None:
        """A chunk has just been stored."""
        self.count("taskq_chunks")
        if succeeded := outcome.succeeded:
            self.count("taskq_items", "done", by=succeeded)
        if outcome.failures:
            self.count("taskq_items", "failed", by=len(outcome.failures))
        self.observe("taskq_chunk_seconds", outcome.seconds)
        self.observe("taskq_commit_seconds", max(0.0, clock.SERVER.now() - outcome.started - outcome.seconds))

    def job_ended(self, kind: str, outcome: str, seconds: float | None) -> None:
        """An RQ job has ended here; ``kind``: map or plain, ``outcome``: as documented there."""
        self.count("taskq_jobs", kind, outcome)
        if seconds is not None:
            self.observe("taskq_job_seconds", seconds, kind)

    @property
    def has_news(self) -> bool:
        """Whether there is anything to send; it must then arrive all or not at all."""
        return bool(self._new)

    def send(self, pipe: Any) -> list[str]:
        """Queue what is new; returns the fields, for ``sent``."""
        for name, number in self._new.items():
            pipe.hincrbyfloat(keys.METRICS, name, number)
        return list(self._new)

    def sent(self, names: list[str], replies: list[Any]) -> None:
        """Forget what has come through; the rest is sent again."""
        for name, reply in zip(names, replies, strict=False):
            if not isinstance(reply, Exception):
                del self._new[name]
