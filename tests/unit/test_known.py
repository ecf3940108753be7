"""Which maps a pool process knows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskq_workers.link.known import BYTES, MAPS, Known

sizes = st.integers(0, 1000) | st.integers(0, 2 * BYTES)


@given(st.lists(st.tuples(st.integers(0, 20), sizes, st.booleans())))
def test_no_more_than_so_many_and_so_large(steps: list[tuple[int, int, bool]]) -> None:
    known = Known()
    kept: dict[str, int] = {}
    for number, size, over in steps:
        key = str(number)
        if over:
            assert known.forget(key) == kept.pop(key, None)
        elif key not in kept:
            kept[key] = size
            for gone in known.add(key, size):
                del kept[gone]
            assert key in known
        assert len(kept) <= MAPS
        assert len(kept) <= 1 or sum(kept.values()) <= BYTES
        assert all(one in known for one in kept)


def test_the_oldest_goes_first() -> None:
    known = Known()
    assert [known.add(str(number), 1) for number in range(MAPS)] == [[]] * MAPS
    assert known.add("new", 1) == ["0"]
    assert known.add("large", BYTES) == [*map(str, range(1, MAPS)), "new"]
