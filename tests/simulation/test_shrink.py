"""A failing plan is made as small as it still fails."""

from __future__ import annotations

from tests.simulation import themes
from tests.simulation.plan import Deed, Plan
from tests.simulation.shrink import Shrinker


def rich() -> Plan:
    """A plan with something of everything, as drawn."""
    drawn = (themes.draw(seed) for seed in range(1000))
    return next(
        one
        for one in drawn
        if len(one.orders) == 3 and len(one.deeds) > 5 and one.hosts == one.services == one.processes == 2
    )


def test_what_is_not_needed_for_the_failure_is_left_out() -> None:
    whole = rich()
    deed = whole.deeds[3]
    small = Shrinker(lambda tried: deed in tried.deeds).shrink(whole)
    assert small.deeds == (deed,)
    assert len(small.orders) == 1
    assert (small.hosts, small.services, small.processes, small.cleans) == (1, 1, 1, None)
    [order] = small.orders
    assert (order.count, order.items, order.tries, order.callers) == (1, {}, 0, ())


def test_what_is_needed_stays() -> None:
    whole = rich()
    number, count = whole.orders[1].number, whole.orders[1].count

    def fails(tried: Plan) -> bool:
        return tried.hosts == 2 and any((one.number, one.count) == (number, count) for one in tried.orders)

    small = Shrinker(fails).shrink(whole)
    assert fails(small)
    assert small.deeds == ()
    assert [one.number for one in small.orders] == [number]
    assert small.hosts == 2
    assert small.services == 1


def test_two_deeds_that_only_fail_together_both_stay() -> None:
    first, last = rich().deeds[0], Deed(1.0, "kill host")
    whole = Plan(1, 1, 1, 1, 3.0, rich().orders, (*rich().deeds, last))
    small = Shrinker(lambda tried: first in tried.deeds and last in tried.deeds).shrink(whole)
    assert small.deeds == (first, last)


def test_a_smaller_plan_is_tried_with_other_latencies_too() -> None:
    whole = rich()
    small = Shrinker(lambda tried: tried == whole or tried.seed != whole.seed).shrink(whole)
    assert small.deeds == ()
    assert small.seed != whole.seed


def test_it_ends_when_it_has_tried_often_enough() -> None:
    tried: list[Plan] = []

    def fails(one: Plan) -> bool:
        tried.append(one)
        return True

    Shrinker(fails, tries=7).shrink(rich())
    assert len(tried) == 7


def test_a_plan_of_which_nothing_can_be_left_out_stays_as_it_is() -> None:
    whole = rich()
    assert Shrinker(lambda tried: tried == whole).shrink(whole) == whole
