"""What is known of a service's death: what it ran, and what it died of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from taskq.redis import checked
from taskq_workers.link import flight
from taskq_workers.link.flight import Flown


@dataclass(frozen=True)
class Evidence:
    """Of one death.

    Args:
        cause: E.g. "SIGKILL (out of memory)".
        host: Where it was.
        ran: What ran then; None: nobody knows, for the record went with the host, or its manager.
    """

    cause: str
    host: str = ""
    ran: tuple[Flown, ...] | None = None

    def ran_job(self, execution_id: str) -> bool | None:
        """Whether this execution of a plain job ran; None: that is not known."""
        return (
            None
            if self.ran is None
            else any(one.kind == flight.JOB and one.run == execution_id for one in self.ran)
        )

    def ran_chunk(self, incarnation: str, name: str) -> bool | None:
        """Whether an item of the range with this name ran, of this life of its map; None: that is not known."""
        if self.ran is None:
            return None
        flown = self._flown(incarnation, name)
        return flown is not None and not flown.initializing

    def ran_alone(self, run: str, name: str = "") -> bool:
        """Whether nothing else ran than this chunk, or this execution of a job; True where nobody knows.

        What waited for other work did not run.
        """
        return all(one.waited or (one.run, one.range) == (run, name) for one in self.ran or ())

    def seconds_of(self, run: str, name: str = "") -> float:
        """For how long this chunk, or this execution of a job, had run; 0.0: that is not known."""
        return max((one.seconds for one in self.ran or () if (one.run, one.range) == (run, name)), default=0.0)

    def ran_initializer(self, incarnation: str) -> bool:
        """Whether the initializer of this map ran, and is suspect."""
        return any(one.initializing and one.run == incarnation for one in self.ran or ())

    def initialized_alone(self, incarnation: str) -> bool:
        """Whether nothing else ran than the initializer of this map, in one process or more."""
        return all(one.waited or (one.initializing and one.run == incarnation) for one in self.ran or ())

    def item_of(self, incarnation: str, name: str) -> int | None:
        """The item of the range that ran, or one shortly before it; None: that is not known."""
        flown = self._flown(incarnation, name)
        return flown.item if flown else None

    def lane_of(self, incarnation: str, name: str) -> int | None:
        """The place of the process that ran the range; None: nobody knows of such a one."""
        flown = self._flown(incarnation, name)
        return flown.lane if flown else None

    def _flown(self, incarnation: str, name: str) -> Flown | None:
        of_map = (one for one in self.ran or () if one.kind == flight.CHUNK and one.run == incarnation)
        return next((one for one in of_map if one.range == name), None)

    def __str__(self) -> str:
        return f"{self.cause} on {self.host}" if self.host else self.cause


INITIALIZER = "initializer"
"""Where, among what is kept of deaths with ranges, that with the map's initializer stands."""

LOST = Evidence("the loss of its host, or of its worker's manager")


@dataclass(frozen=True)
class Trace:
    """What is kept of a death with a range of which a service has died.

    Args:
        cause: Of the last one.
        item: That ran then; None: that is not known.
        times: How many there were; of the map's initializer only.
        spared: How many of them ended no last chance, since others ran as well.
        seconds: For how long the range had run then; 0.0: that is not known.
    """

    cause: str
    item: int | None
    times: int = 0
    seconds: float = 0.0
    spared: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_trace(data: bytes | None) -> Trace:
    """What stands there; of a record that is none, that nothing is known."""
    found: Mapping[str, Any] = checked.record(data)
    cause, item, times = found.get("cause"), found.get("item"), found.get("times")
    known = cause if isinstance(cause, str) and checked.is_text(cause) else "an unknown cause"
    count = times if isinstance(times, int) and checked.is_count(times) else 0
    spared = found.get("spared")
    kept = spared if isinstance(spared, int) and checked.is_count(spared) else 0
    seconds = checked.seconds(str(found.get("seconds")).encode())
    return Trace(known, item if isinstance(item, int) and checked.is_count(item) else None, count, seconds, kept)
