"""``MapJob.reduce``: the results of a map, folded on the workers in the order of the items, each once."""

from __future__ import annotations

import functools
import math
import operator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rq.exceptions import InvalidJobOperation

from taskq import MapJob, OptionError, PickleError, Queue, SourceFailedError
from taskq.maps import folding
from taskq.redis.keys import UNSEALED
from taskq.testing import drain
from tests import jobs


def text(number: int) -> str:
    return f"{number} "


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("size", [None, 2, 5])
def test_it_is_what_a_loop_gives(fake_queue: Queue, count: int, size: int | None) -> None:
    job = fake_queue.map(text, range(count), chunksize=7).reduce(operator.add, chunksize=size)
    drain(fake_queue)
    assert job.get() == "".join(text(number) for number in range(count)), "in order"


def test_on_a_server(real_queue: Queue) -> None:
    first = real_queue.map(text, range(300), chunksize=7)
    job = first.reduce("operator:add", initial="all: ", job_id="sum", result_ttl=100)
    drain(real_queue)
    assert job.get() == "all: " + "".join(text(number) for number in range(300))
    there = MapJob.fetch("sum", connection=real_queue.connection)
    assert there.get() == [job.get()]
    assert first.ready()
    assert len(first.get()) == 300
    between = set(real_queue.connection.keys("rq:job:*")) - {b"rq:job:sum", first.key.encode()}
    assert all(0 < real_queue.connection.ttl(key) <= 60 for key in between), "what was between goes by itself"


def test_the_initial_value_is_used_once(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(50)).reduce(operator.add, initial=1000)
    drain(fake_queue)
    assert job.get() == 1000 + sum(n * n for n in range(50))


def test_of_no_items(fake_queue: Queue) -> None:
    first = fake_queue.map(jobs.square, [])
    some, none = first.reduce(operator.add, initial="nothing"), first.reduce(operator.add)
    drain(fake_queue)
    assert some.get() == "nothing"
    with pytest.raises(TypeError, match="empty"):
        none.get()


def test_of_an_open_map(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "GROUP", 4)
    with fake_queue.open_map(text) as first:
        job = first.reduce(operator.add)
        first.put_many(range(30))
    drain(fake_queue)
    assert job.get() == "".join(text(number) for number in range(30))


def test_of_an_open_map_with_few_items(fake_queue: Queue) -> None:
    with fake_queue.open_map(text) as first:
        job = first.reduce(operator.add, initial="")
        first.put_many(range(3))
    drain(fake_queue)
    assert job.get() == "0 1 2 "


def test_an_item_that_fails_fails_it(fake_queue: Queue) -> None:
    first = fake_queue.map(jobs.invert, [1, 2, 0, *range(1, 60)])
    job = first.reduce(operator.add)
    drain(fake_queue)
    with pytest.raises(SourceFailedError, match=f"item 2 of the map {first.id} failed with ZeroDivisionError"):
        job.get()


def adds_from(flag: str, left: int, right: int) -> int:
    """Fails until the flag is there."""
    if not Path(flag).exists():
        raise ValueError("not yet")
    return left + right


@pytest.mark.parametrize("size", [None, 2])
def test_all_that_has_failed_behind_it_is_tried_again(any_queue: Queue, tmp_path: Path, size: int | None) -> None:
    flag = tmp_path / "flag"
    job = any_queue.map(jobs.square, range(30)).reduce(functools.partial(adds_from, str(flag)), chunksize=size)
    drain(any_queue)
    with pytest.raises(SourceFailedError, match="not yet"):
        job.get()
    flag.touch()
    job.requeue()
    drain(any_queue)
    assert job.get() == sum(n * n for n in range(30))
    with pytest.raises(InvalidJobOperation):
        job.requeue()


def test_the_map_that_is_folded_is_tried_again_by_its_owner(any_queue: Queue, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    first = any_queue.starmap(adds_from, [(str(flag), n, 1) for n in range(30)])
    job = first.reduce(operator.add)
    drain(any_queue)
    flag.touch()
    job.requeue()
    drain(any_queue)
    with pytest.raises(SourceFailedError, match="not yet"):
        job.get()
    first.requeue()
    job.requeue()
    drain(any_queue)
    assert job.get() == sum(range(31))


async def coroutine(left: int, right: int) -> int:
    return left + right


@pytest.mark.parametrize(
    ("fn", "options", "kind", "why"),
    [
        (operator.add, {"chunksize": 1}, OptionError, "chunksize must be 2"),
        (operator.add, {"results": "discard"}, OptionError, "can't be discarded"),
        (operator.add, {"first": 1}, OptionError, "has no option first"),
        (operator.add, {"weight": 0}, OptionError, "weight"),
        (operator.add, {"weight": "2"}, OptionError, "weight"),
        (operator.add, {"item_timeout": 1e10}, OptionError, "item_timeout must be"),
        (operator.add, {"max_running": 0}, OptionError, "max_running"),
        (operator.add, {"queue": "a b"}, OptionError, "queue must be the name"),
        (operator.add, {"queue": 3}, OptionError, "queue must be the name"),
        (coroutine, {}, OptionError, "coroutine is a coroutine function"),
        (functools.partial(coroutine, 1), {}, OptionError, "is a coroutine function"),
        (7, {}, OptionError, "a function is needed"),
        (operator.add, {"retry": 3}, OptionError, "retry must be RQ's Retry"),
        (operator.add, {"initial": open("/dev/null", "rb")}, PickleError, "can't be pickled"),  # noqa: SIM115, PTH123
    ],
)
def test_what_makes_no_sense(fake_queue: Queue, fn: Any, options: Any, kind: type[Exception], why: str) -> None:
    job = fake_queue.map(jobs.square, range(10))
    before = set(fake_queue.connection.keys())
    with pytest.raises(kind, match=why):
        job.reduce(fn, **options)
    assert set(fake_queue.connection.keys()) == before, "nothing was written"


@given(st.integers(0, 10**7), st.one_of(st.none(), st.integers(2, 10**4)))
def test_there_are_few_maps_and_small_groups(total: int, size: int | None) -> None:
    sizes = [*folding.sizes(total, size)]
    left = functools.reduce(lambda count, each: -(-count // each), sizes, total)
    most = size or max(2, min(folding.GROUP, math.isqrt(total)))
    assert all(one == most for one in sizes)
    assert left <= most
    assert len(sizes) <= max(1, math.ceil(math.log(max(total, 2), most)))
    assert len([*folding.sizes(UNSEALED, size)]) == 1
