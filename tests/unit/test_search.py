"""A service does not go round in circles while there is nothing that it may look for."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

from taskq_workers.service.core.fleet import Fleet
from taskq_workers.service.jobs.search import Search


def state(**changes: Any) -> Any:
    """A service with an idle process, in whose queues a map is open."""
    alone = object()
    busy = SimpleNamespace(tasks={alone: 1}, lent=False)
    lanes = type("Lanes", (list,), {"idle": [object()], "open": [], "trouble": ""})([busy])
    if trouble := changes.pop("trouble", ""):
        lanes.trouble = trouble
    one = SimpleNamespace(pending=1, resumes=None, copies_at=math.inf)
    fields = {"lanes": lanes, "polls": False, "open": {"m": one},
              "stopping": False, "suspended": False, "alone": None, "alone_until": math.inf, "held": [],
              "maps": [], "active": [], "runs": {}, "stragglers": [], "drain": None,
              "fleet": Fleet()}  # fmt: skip
    return SimpleNamespace(**fields | ({"alone": alone} if changes.pop("secluded", False) else {}) | changes)


def test_it_looks_as_soon_as_it_may() -> None:
    search = Search(state())
    assert min(search.due()) <= time.monotonic()


@pytest.mark.parametrize("why", ["suspended", "stopping", "secluded", "trouble"])
def test_it_is_not_due_while_nothing_is_to_be_taken(why: str) -> None:
    search = Search(state(**{why: True}))
    assert not search.idle()
    assert list(search.due()) == []


def test_it_is_due_again_afterwards() -> None:
    here = state(suspended=True)
    search = Search(here)
    assert not search.idle()
    here.suspended = False
    assert min(search.due()) <= time.monotonic()
