"""How often the items of a range were tried goes with its deaths, and is none of them."""

from __future__ import annotations

import pytest

from taskq.maps import deaths


@pytest.mark.parametrize("number", [0, 1, 2, 2002, 1001])
@pytest.mark.parametrize("tries", [1, 3, 1000])
def test_each_count_is_as_it_was_without_the_other(number: int, tries: int) -> None:
    both = number + tries * deaths.TRIED
    assert deaths.tried(both) == deaths.tried(deaths.given(both)) == tries
    for count in (deaths.total, deaths.services):
        assert count(both) == count(deaths.given(both)) == count(number)
    assert deaths.settled(both) == deaths.settled(deaths.given(both)) == both
    for ran in (True, False, None):
        assert deaths.after_service(both, ran) == deaths.after_service(number, ran) + tries * deaths.TRIED
        given = deaths.after_service(deaths.given(number), ran)
        assert deaths.after_service(deaths.given(both), ran) == given + tries * deaths.TRIED
    assert deaths.only_tried(both) == tries * deaths.TRIED
    assert deaths.after_try(both) == (tries + 1) * deaths.TRIED, "what has ended well enough to fail is acquitted"
