"""What those know of a map's job who wait for it: ``MapJob``, which calls them, is more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rq.job import JobStatus

from taskq.maps.store import MapStore
from taskq.views.progress import Progress


class Waited(Protocol):
    """A map's job."""

    connection: Any
    origin: Any
    """RQ's: the name of its queue."""

    @property
    def id(self) -> str:
        """RQ's."""

    @property
    def store(self) -> MapStore:
        """The map's keys."""

    @property
    def progress(self) -> Progress:
        """How far it is."""

    @property
    def dependency_ids(self) -> Sequence[Any]:
        """RQ's."""

    def ready(self) -> bool:
        """Whether it has ended."""

    def status_now(self) -> JobStatus | None:
        """RQ's status, from the server; None if the job is gone."""
