"""The proof that each item was accounted for, once."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import DamagedError
from taskq.maps import coverage as coverage_module
from taskq.maps.coverage import Coverage


@pytest.fixture(autouse=True, params=[8, coverage_module.PAGE], ids=["small pages", "pages"])
def _pages(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage_module, "PAGE", request.param)
        patch.setattr(coverage_module, "_ALL", (1 << request.param) - 1)
        yield


def runs(total: int, cuts: set[int]) -> list[tuple[int, int]]:
    edges = sorted({0, total, *(cut for cut in cuts if cut < total)})
    return [(start, end - start) for start, end in itertools.pairwise(edges)]


@given(st.integers(1, 200), st.sets(st.integers(1, 200)), st.randoms())
def test_each_item_once_in_any_order(total: int, cuts: set[int], rand: random.Random) -> None:
    coverage, all_runs = Coverage(total), runs(total, cuts)
    rand.shuffle(all_runs)
    for start, count in all_runs:
        coverage.add(start, count)
    coverage.prove()


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)), max_size=8))
def test_nothing_else_is_proved(total: int, all_runs: list[tuple[int, int]]) -> None:
    all_runs = [(start, count) for start, count in all_runs if start + count <= total]
    coverage = Coverage(total)
    for start, count in all_runs:
        coverage.add(start, count)
    items = sorted(index for start, count in all_runs for index in range(start, start + count))
    if items == list(range(total)):
        coverage.prove()
    else:
        with pytest.raises(DamagedError):
            coverage.prove()


@given(st.integers(1, 60), st.sets(st.integers(1, 60)), st.randoms(), st.data())
def test_one_run_that_is_missing_or_there_twice(
    total: int, cuts: set[int], rand: random.Random, data: st.DataObject
) -> None:
    all_runs = runs(total, cuts)
    chosen = data.draw(st.sampled_from(all_runs))
    if data.draw(st.booleans()):
        all_runs.remove(chosen)
    else:
        all_runs.append(chosen)
    rand.shuffle(all_runs)
    coverage = Coverage(total)
    for start, count in all_runs:
        coverage.add(start, count)
    with pytest.raises(DamagedError):
        coverage.prove()


@pytest.mark.parametrize(
    ("all_runs", "text"),
    [
        ([], "became of item 0, of 10 items"),
        ([(0, 4), (5, 5)], "became of item 4, of 10 items"),
        ([(1, 9)], "became of item 0"),
        ([(0, 9)], "became of item 9"),
        ([(0, 10), (5, 1)], "item 5 is accounted for twice"),
        ([(0, 5), (4, 6)], "item 4 is accounted for twice"),
        ([(0, 5), (4, 5)], "twice"),
        ([(0, 10), (0, 10)], "item [08] is accounted for twice"),
        ([(5, 5), (0, 5), (0, 5)], "item 0 is accounted for twice"),
        ([(0, 2), (2, 2), (4, 6), (2, 2), (2, 2)], "item 2 is accounted for twice"),
    ],
)
def test_the_error_names_the_item(all_runs: list[tuple[int, int]], text: str) -> None:
    coverage = Coverage(10)
    for start, count in all_runs:
        coverage.add(start, count)
    with pytest.raises(DamagedError, match=text):
        coverage.prove()


@given(st.integers(1, 60), st.sets(st.integers(1, 60)), st.integers(1, 70), st.data())
def test_gaps_are_what_is_missing(total: int, cuts: set[int], most: int, data: st.DataObject) -> None:
    all_runs = runs(total, cuts)
    missing = data.draw(st.sets(st.sampled_from(all_runs)))
    coverage = Coverage(total)
    for start, count in all_runs:
        if (start, count) not in missing:
            coverage.add(start, count)
    coverage.check()
    gaps = list(coverage.gaps(most))
    items = sorted(index for start, count in missing for index in range(start, start + count))
    assert [index for start, count in gaps for index in range(start, start + count)] == items
    assert all(0 < count <= most for _start, count in gaps)


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)), max_size=8))
def test_nothing_twice(total: int, all_runs: list[tuple[int, int]]) -> None:
    all_runs = [(start, count) for start, count in all_runs if start + count <= total]
    coverage = Coverage(total)
    for start, count in all_runs:
        coverage.add(start, count)
    items = [index for start, count in all_runs for index in range(start, start + count)]
    if len(set(items)) == len(items):
        coverage.check()
    else:
        with pytest.raises(DamagedError, match="twice"):
            coverage.check()


def test_of_no_items_there_is_nothing_to_prove() -> None:
    Coverage(0).prove()


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (10, 1), (9, 2), (0, 0), (3, -1)])
def test_items_that_there_are_not(start: int, count: int) -> None:
    with pytest.raises(DamagedError, match="of 10 items"):
        Coverage(10).add(start, count)


def test_runs_that_touch_cost_no_memory() -> None:
    """A map of a hundred million items must not need a hundred million entries."""
    coverage = Coverage(100_000)
    for start in range(0, 100_000, 2):
        coverage.add(start, 2)
        assert (len(vars(coverage)["_end_of"]), len(vars(coverage)["_pages"])) <= (1, 1)
    coverage.prove()


def test_neither_do_runs_that_do_not() -> None:
    """Nor must one of which every other item has failed."""
    coverage = Coverage(1_000_000)
    for start in range(0, 1_000_000, 2):
        coverage.add(start, 1)
    if coverage_module.PAGE > 8:
        assert sum(map(sys.getsizeof, vars(coverage)["_pages"].values())) < 1_000_000 / 6
    coverage.check()
    assert sum(count for _start, count in coverage.gaps(10)) == 500_000


def test_nor_does_a_run_that_somebody_made_up() -> None:
    coverage = Coverage(10**18)
    coverage.add(7, 10**18 - 14)
    coverage.add(100_000, 10**17)
    with pytest.raises(DamagedError, match="twice"):
        coverage.check()
    assert next(coverage.gaps(5)) == (0, 5)
