"""Why a worker can't run a map: its module is missing there, its Python is another one.

That costs this worker the work, not the map. Each worker's refusal stands in ``taskq:{id}:refusals``, so that
people see it, and so that the map's owner knows when there is nobody left who could run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from taskq.redis import checked

_MOST = 500  # characters of a reason
INITIALIZER = "its initializer "  # what a reason begins with which that has given


@dataclass(frozen=True)
class Refusal:
    """One worker's.

    Args:
        worker: Its name.
        host: Where it runs.
        python: Its version of Python.
        why: For people.
    """

    worker: str
    host: str
    python: str
    why: str

    def to_json(self) -> str:
        """The record in Redis."""
        return checked.dumps({**asdict(self), "why": checked.clean(self.why[:_MOST])})

    def __str__(self) -> str:
        return f"{self.worker} on {self.host}, Python {self.python}: {self.why[:_MOST]}"


def read(raw: Mapping[bytes, bytes]) -> dict[str, Refusal]:
    """Worker -> its refusal; of a record that is none as much as can be shown."""
    found = {}
    for name, data in raw.items():
        worker, record = checked.text(name), checked.record(data)
        told = [record[key] if checked.is_text(record.get(key)) else "" for key in ("host", "python", "why")]
        found[worker] = Refusal(worker, *told)
    return found


def reason(refusals: Mapping[str, Refusal]) -> str:
    """Why a map fails that nobody can run."""
    each = "\n".join(f"  {one}" for one in refusals.values())
    if all(one.why.startswith(INITIALIZER) for one in refusals.values()):
        return f"no worker that is alive can begin this map:\n{each}"
    return f"no worker that is alive can run this map. Install what is missing, then retry it:\n{each}"
