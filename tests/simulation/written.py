"""Worlds that are written, and not drawn: for guards whose moment a drawn one hardly ever comes to.

The fault is at a certain step, and not at a certain time, so that no change of how long things take moves it away
from there. Of each several are tried, which differ in latencies alone: none of these need be the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.plan import Deed, Order, Plan

LIVES = 24  # of each

_ITEMS = dict.fromkeys(range(4), "fails once")
_BUSY = Plan(0, 2, 2, 2, 3.0, (Order(0, 0.1, "m0", 12, 1, 0.2),), ())
_RETRIED = Plan(0, 1, 1, 2, 3.0, (Order(0, 0.1, "m0", 6, 1, 0.1, _ITEMS, tries=1),), ())
_FAILING = Plan(0, 2, 1, 1, 3.0, (Order(0, 0.1, "m0", 6, 1, 0.1, _ITEMS),), ())
_FEW = Plan(0, 2, 1, 2, 3.0, (Order(0, 0.1, "m0", 8, 2, 0.05, first=3),), ())
_FED = Plan(0, 1, 1, 1, 3.0, (Order(0, 0.1, "m0", 1, 1, 0.03, pushing=0.1, patient=True, orphan="finish"),), ())


def _said(at: float, how: str, operation: str, seconds: float, which: int = 0) -> Deed:
    return Deed(at, "network", which, seconds, (how, operation))


def _with(plan: Plan, *deeds: Deed) -> Plan:
    return replace(plan, deeds=deeds)


CANCELLED = tuple(
    _with(_BUSY, Deed(at, "cancel", 0, 0.0, "m0"), Deed(at, "deaf", 0, 0.6, "all")) for at in (0.25, 0.3, 0.35)
)
"""A map is cancelled, and those who work on it do not hear of it."""

LATE_CLOSE = tuple(
    _with(_RETRIED, _said(0.1, how, "close", seconds), *(Deed(at, "requeue", 0, 0.0, "m0") for at in (0.3, 0.6)))
    for how in ("twice", "late")
    for seconds in (0.02, 0.05, 0.1, 0.3)
)
"""A map has failed, and is tried again while what closed it comes once more, or only now."""

OPENED_TWICE = tuple(
    _with(_FAILING, _said(0.1, "twice", "open", seconds), _said(0.11, "stall", "close", 1.0))
    for seconds in (0.5, 0.6, 0.7, 0.4)
)
"""What opened a map comes once more when it was closed, and its end is not on record yet."""

ENOUGH = (_with(_FEW, _said(0.2, "stall", "commit", 0.1)), replace(_FEW, loss=1.0))
"""Several who work on a map of which a few results are enough come to their ends at once."""

SEALED = tuple(_with(_FED, _said(0.15, "stall", "put", 0.5), Deed(at, "full", 0, 1.0)) for at in (0.3, 0.4, 0.5))
"""The server has no memory when an open map is sealed."""


def lives(plans: tuple[Plan, ...]) -> Iterator[Plan]:
    """Each of these plans with other latencies, by turns."""
    for seed in range(LIVES):
        for plan in plans:
            yield replace(plan, seed=seed)
