"""Makes a failing plan small: what is not needed for the failure is left out, a half at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.simulation.plan import Order, Plan

TRIES = 400  # plans that are tried, all in all
_AGAIN = 3  # other latencies with which a smaller plan is tried, before it is taken for sound

Fails = Callable[[Plan], bool]


class Shrinker:
    """Tries smaller plans, as long as there are tries left.

    Args:
        fails: Whether a plan does.
        tries: How many plans may be tried.
    """

    def __init__(self, fails: Fails, tries: int = TRIES) -> None:
        self._fails = fails
        self._left = tries

    def shrink(self, plan: Plan) -> Plan:
        """The smallest plan that is found to fail, too."""
        before = None
        while plan != before and self._left > 0:
            before = plan
            plan = self._fewer(plan, "deeds")
            plan = self._fewer(plan, "orders")
            plan = self._simpler(plan)
        return plan

    def _try(self, plan: Plan) -> Plan | None:
        """The plan with latencies with which it fails."""
        for number in range(_AGAIN):
            if self._left <= 0:
                break
            self._left -= 1
            tried = replace(plan, seed=plan.seed + 1_000_003 * number)
            if self._fails(tried):
                return tried
        return None

    def _fewer(self, plan: Plan, what: str) -> Plan:
        size = max(1, len(getattr(plan, what)) // 2)
        while size:
            at = 0
            while at < len(getattr(plan, what)):
                parts = getattr(plan, what)
                left = parts[:at] + parts[at + size :]
                smaller = self._try(replace(plan, **{what: left})) if left or what == "deeds" else None
                if smaller is None:
                    at += size
                else:
                    plan = smaller
            size //= 2
        return plan

    def _simpler(self, plan: Plan) -> Plan:
        for change in _changes(plan):
            changed = replace(plan, **change)
            if changed != plan and (smaller := self._try(changed)):
                return self._simpler(smaller)
        return plan


def _changes(plan: Plan) -> Iterator[dict[str, Any]]:
    """Fewer hosts and processes, right clocks, and orders without what is special about them."""
    yield from ({"hosts": 1}, {"services": 1}, {"processes": 1}, {"skews": (0.0, 0.0, 0.0)}, {"cleans": None})
    for number, order in enumerate(plan.orders):
        for simple in _simple(order):
            yield {"orders": (*plan.orders[:number], simple, *plan.orders[number + 1 :])}


def _simple(order: Order) -> Iterator[Order]:
    for less in ({"items": {}}, {"tries": 0}, {"callers": ()}, {"item_timeout": None}, {"errors": "raise"}):
        yield replace(order, **less)  # type: ignore[arg-type]
    for index in order.items:
        yield replace(order, items={one: what for one, what in order.items.items() if one != index})
    for count in {1, order.count // 2, order.count - 1} - {0, order.count}:
        yield replace(order, count=count, items={one: what for one, what in order.items.items() if one < count})
