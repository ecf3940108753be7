"""A map's results one after the other: in order, as completed, by index; while it runs, and from a position on."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import tqdm

from taskq import (
    DamagedError,
    ItemError,
    MapCanceledError,
    MapFailedError,
    MapJob,
    OptionError,
    Queue,
    ReplacedError,
    ResultsGoneError,
)
from taskq.maps import outage, spans_read
from taskq.maps.reader import MapReader
from taskq.redis.list_reader import ListReader
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import claim, commit
from tests.contract.test_arrivals import Map
from tests.contract.test_following import turn
from tests.waiting import HANGS, wait_until

HOWS: dict[str, Callable[..., Any]] = {
    "in_order": MapJob.in_order,
    "as_completed": MapJob.as_completed,
    "results_by_index": MapJob.results_by_index,
}
one_of = ListReader.batch
every_way = pytest.mark.parametrize("how", HOWS)


def ran(queue: Queue, fn: Any, items: Any, **options: Any) -> MapJob:
    job = queue.map(fn, items, **{"chunksize": 2, **options})
    drain(queue)
    return job


def test_progress_bars_count_items(fake_queue: Queue) -> None:
    job = ran(fake_queue, jobs.square, range(7))
    for given, items in ((job, 7), (job.in_order(), 7), (job.as_completed(start=3), 4), (job.in_order(9), 0)):
        bar = tqdm.tqdm(given, file=io.StringIO())
        assert len(list(bar)) == items
        assert (bar.n, bar.total) == (items, items)
    values = job.in_order(errors="return")
    next(values)
    assert len(values) == 6
    wanted = ran(fake_queue, jobs.square, range(7), first=2)
    assert len(wanted.as_completed()) == 2


def test_nobody_knows_how_long_an_open_map_is(fake_queue: Queue) -> None:
    with fake_queue.open_map(jobs.square) as job:
        job.put(1)
        values = job.in_order()
        assert values
        with pytest.raises(TypeError, match="still gets items"):
            len(values)
        assert tqdm.tqdm(values, file=io.StringIO()).total is None
    drain(fake_queue)
    assert list(values) == [1]


def told(values: Iterator[Any], found: list[Any] | None = None) -> list[Any]:
    """All that it gives, and the kinds of what it raises; also put into ``found`` as it comes."""
    found = [] if found is None else found
    while True:
        try:
            found.append(next(values))
        except StopIteration:
            return found
        except Exception as error:  # noqa: BLE001 - that is what is told
            found.append(type(error).__name__)
        assert len(found) < 100, "it does not end"


class Reader:
    """Reads in a thread, as who waits does."""

    def __init__(self, values: Iterator[Any]) -> None:
        self.found: list[Any] = []
        self._thread = threading.Thread(target=lambda: told(values, self.found), daemon=True)
        self._thread.start()

    def has(self, *expected: Any) -> None:
        wait_until(lambda: self.found == list(expected), f"{expected}, not {self.found}")

    def ended(self) -> list[Any]:
        self._thread.join(HANGS)
        assert not self._thread.is_alive()
        return self.found


# -- what there is ---------------------------------------------------------------------------------------


def test_of_a_map_that_has_ended(any_queue: Queue) -> None:
    job = ran(any_queue, jobs.square, range(7))
    assert list(job.in_order()) == [n * n for n in range(7)]
    assert sorted(job.as_completed()) == [n * n for n in range(7)]
    assert dict(job.results_by_index()) == {n: n * n for n in range(7)}


def test_the_order_of_completion_is_that_of_the_result_list(any_queue: Queue) -> None:
    made = Map(any_queue)
    for number in (2, 1, 3, 0):
        made.commit(number)
    made.job.cancel()
    there = [4, 5, 2, 3, 6, 7, 1]
    assert told(made.job.results_by_index()) == [*((n, 1 / n) for n in there), "ZeroDivisionError"]
    assert told(made.job.as_completed()) == [*made.job.result_list, "ZeroDivisionError"]


@every_way
def test_what_has_failed_is_raised_in_its_place_and_the_next_goes_on(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.fail_odd, range(5))
    values = told(HOWS[how](job))
    there = [(n, n) if how == "results_by_index" else n for n in range(0, 5, 2)]
    bad = ["ValueError"] * 2
    assert values == ([there[0], *bad[:1], there[1], *bad[1:], there[2]] if how == "in_order" else [*there, *bad])


def test_an_error_says_of_which_item_it_is(fake_queue: Queue) -> None:
    job = ran(fake_queue, jobs.fail_odd, range(3))
    values = job.in_order(start=1)
    with pytest.raises(ValueError, match="1 is odd") as caught:
        next(values)
    assert caught.value.__notes__[0].startswith(f"item 1 of the map {job.id} (fail_odd)")


@every_way
def test_errors_in_the_places_of_results(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.fail_odd, range(4))
    values = list(HOWS[how](job, errors="return"))
    shown = [(one[0], str(one[1])) if isinstance(one, tuple) else str(one) for one in values]
    expected = ["0", "1 is odd", "2", "3 is odd"]
    if how == "results_by_index":
        assert sorted(shown) == list(enumerate(expected))
    else:
        assert (shown if how == "in_order" else sorted(shown)) == (
            expected if how == "in_order" else sorted(expected)
        )


def test_a_result_that_can_not_be_read_here(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ran(fake_queue, jobs.absent_at_3, range(6))
    monkeypatch.setattr(jobs.Absent, "absent", True)
    assert told(job.in_order()) == [0, 1, 2, "ItemError", 4, 5]
    [error] = [one for one in job.as_completed(errors="return") if isinstance(one, ItemError)]
    assert "item 3" in str(error)
    assert error.__notes__ == [f"of the map {job.id} (absent_at_3)"]


@every_way
def test_what_is_there_already_is_not_waited_for(
    fake_queue: Queue, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ran(fake_queue, jobs.square, range(5))
    monkeypatch.setattr("taskq.maps.values.Events", None)
    assert len(list(HOWS[how](job))) == 5


@every_way
def test_a_map_without_items(fake_queue: Queue, how: str) -> None:
    assert list(HOWS[how](fake_queue.map(jobs.square, []))) == []


@every_way
def test_a_map_that_has_enough_before_all_were_tried(fake_queue: Queue, how: str) -> None:
    """As ``get``: what has failed, or was not tried, is no failure of it, and is passed over."""
    job = ran(fake_queue, jobs.fail_odd, range(1, 20), first=3)
    wanted = job.get()
    assert wanted == [2, 4, 6]
    found = list(HOWS[how](job))
    assert found == ([(n - 1, n) for n in wanted] if how == "results_by_index" else wanted)


@every_way
def test_a_map_that_never_has_enough(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.fail_odd, range(1, 4), first=3)
    found = told(HOWS[how](job))
    assert sorted(map(str, found)) == sorted(
        [str((1, 2) if how == "results_by_index" else 2), *["ValueError"] * 2]
    )


@every_way
def test_a_map_that_keeps_no_results(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.square, range(3), results="discard")
    with pytest.raises(OptionError, match=r"job\.count"):
        next(HOWS[how](job))
    assert len(job) == 3


@pytest.mark.parametrize("bad", [-1, True, 1.0, "1", None, 10**20])
def test_a_start_that_is_none(fake_queue: Queue, bad: Any) -> None:
    job = fake_queue.map(jobs.square, range(3))
    for how in HOWS.values():
        with pytest.raises(OptionError, match="start must be a whole number"):
            how(job, start=bad)
    with pytest.raises(OptionError, match="errors must be"):
        job.in_order(errors="ignore")  # type: ignore[call-overload]


# -- from a position on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 10_000])
@every_way
def test_each_position_is_one_to_go_on_from(
    fake_queue: Queue, how: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_read, "BATCH", batch)
    made = Map(fake_queue)
    for number in (2, 1, 3, 0):
        made.commit(number)
    made.job.cancel()
    everything = [one for one in told(HOWS[how](made.job)) if not isinstance(one, str)]
    values = HOWS[how](made.job, start=1) if how == "in_order" else HOWS[how](made.job)
    position = values.position
    assert position == (1 if how == "in_order" else 0)
    for number in range(len(everything)):
        rest = told(HOWS[how](made.job, start=values.position))
        assert [one for one in rest if not isinstance(one, str)] == everything[number:]
        assert rest.count("ZeroDivisionError") == (0 if how == "in_order" else 1)
        assert next(values) == everything[number]
    assert values.position == position + len(everything)


@every_way
def test_behind_the_end_is_nothing(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.square, range(3))
    for start in (3, 4, 10_000):
        assert list(HOWS[how](job, start=start)) == []


# -- while it runs ---------------------------------------------------------------------------------------


def test_in_order_while_it_runs(any_queue: Queue) -> None:
    made = Map(any_queue)
    reader, late = Reader(made.job.in_order()), Reader(made.job.in_order(start=3))
    made.commit(1)
    late.has(1 / 3)
    assert reader.found == []
    made.commit(0)
    reader.has("ZeroDivisionError", 1, 1 / 2, 1 / 3)
    made.commit(3)
    made.job.cancel()
    assert reader.ended() == ["ZeroDivisionError", 1, 1 / 2, 1 / 3, "MapCanceledError"]
    assert late.ended() == [1 / 3, "MapCanceledError"]


def test_as_completed_while_it_runs(any_queue: Queue) -> None:
    made = Map(any_queue)
    reader, late = Reader(made.job.results_by_index()), Reader(made.job.as_completed(start=3))
    made.commit(2)
    reader.has((4, 1 / 4), (5, 1 / 5))
    made.commit(0)
    reader.has((4, 1 / 4), (5, 1 / 5), (1, 1), "ZeroDivisionError")
    late.has("ZeroDivisionError")
    made.commit(1)
    late.has("ZeroDivisionError", 1 / 2, 1 / 3)
    made.job.cancel()
    assert late.ended()[-1] == "MapCanceledError"


def test_of_an_open_map(any_queue: Queue) -> None:
    job = any_queue.open_map(jobs.square)
    reader = Reader(job.in_order())
    for number in range(2):
        job.put(number)
        commit(job.store, *claim(job.store))
        reader.has(*range(number + 1))
    assert len(job) == 2
    job.put(2)
    job.seal()
    assert len(job) == 3
    commit(job.store, *claim(job.store))
    drain(any_queue)
    assert reader.ended() == [0, 1, 2]


@every_way
def test_what_a_retry_may_mend_is_not_raised_before_the_end(any_queue: Queue, how: str) -> None:
    made = Map(any_queue)
    made.commit(0)
    values = HOWS[how](made.job, start=0 if how == "in_order" else 1)
    made.job.retries_left = 1
    assert values._next() is None
    made.job.retries_left = 0
    with pytest.raises(ZeroDivisionError):
        next(values)


@every_way
def test_what_is_closed_and_has_not_ended_will_be_tried_again(any_queue: Queue, how: str) -> None:
    made = Map(any_queue)
    made.commit(0)
    made.store.close()
    assert HOWS[how](made.job, start=0 if how == "in_order" else 1)._next() is None


@every_way
def test_it_ends_early(fake_queue: Queue, how: str) -> None:
    """In order it ends at the first item that was not tried: what lies behind is another item's."""
    job = fake_queue.map(jobs.fail_odd, range(8), chunksize=2, max_failures=0)
    drain(fake_queue)
    values = HOWS[how](job)
    assert next(values) == ((0, 0) if how == "results_by_index" else 0)
    with pytest.raises(ValueError, match="is odd"):
        next(values)
    with pytest.raises(MapFailedError, match="max_failures is 0"):
        next(values)
    assert list(values) == []


# -- what the server does --------------------------------------------------------------------------------


@every_way
def test_an_outage_in_the_middle_costs_nothing(
    fake_queue: Queue, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked, and whenever it breaks: each result once."""
    monkeypatch.setattr("taskq.redis.list_reader._FIRST", 1)
    monkeypatch.setattr(outage, "say", lambda _text: None)
    job = ran(fake_queue, jobs.fail_odd, range(9), chunksize=3)
    whole = told(HOWS[how](job))
    real, draw, broke = MapReader._read, random.Random(1), 0

    def breaking(self: Any, ask: Any) -> Any:
        nonlocal broke
        if draw.random() < 0.3:
            broke += 1
            raise redis.ConnectionError("away")
        return real(self, ask)

    monkeypatch.setattr(MapReader, "_read", breaking)
    fetched = MapJob.fetch(job.id, connection=job.connection, serializer=job.serializer)
    assert told(HOWS[how](fetched)) == whole
    assert broke > 3


@every_way
def test_a_list_that_came_back_older(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.square, range(4))
    values = HOWS[how](job)
    next(values)
    made: Any = type("Made", (), {"store": job.store})
    turn(fake_queue, made, 2)
    found = told(values)
    assert found[-1] == "ResultsGoneError"
    assert list(values) == [], "it is over"


@every_way
def test_a_map_that_was_replaced(any_queue: Queue, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListReader, "batch", lambda self, start, _end: one_of(self, start, start + 1))
    job = ran(any_queue, jobs.square, range(4), job_id="same")
    values = HOWS[how](job)
    next(values)
    ran(any_queue, jobs.square, range(4), job_id="same")
    with pytest.raises(ReplacedError):
        next(values)
    assert list(values) == []


@every_way
def test_what_had_failed_was_tried_again_meanwhile(fake_queue: Queue, how: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    job = fake_queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(3)], chunksize=1)
    drain(fake_queue)
    values = HOWS[how](job, errors="return")
    assert len([next(values) for _ in range(3)]) == 3
    flag.unlink()
    job.requeue()
    drain(fake_queue)
    with pytest.raises(ResultsGoneError, match="tried again meanwhile"):
        list(values)


def test_keys_that_are_gone(fake_queue: Queue) -> None:
    job = ran(fake_queue, jobs.square, range(4))
    job.delete()
    for how in HOWS.values():
        with pytest.raises(ResultsGoneError):
            list(how(job))
    with pytest.raises(ResultsGoneError):
        len(job)


@every_way
def test_a_part_that_is_gone(fake_queue: Queue, how: str) -> None:
    job = ran(fake_queue, jobs.square, range(4))
    fake_queue.connection.lpop(job.store.keys.spans)
    fake_queue.connection.ltrim(job.store.keys.results, 2, -1)
    assert told(HOWS[how](job))[-1] == "DamagedError"
    with pytest.raises(DamagedError):
        list(HOWS[how](job))


# -- how many --------------------------------------------------------------------------------------------


def test_how_many_items_it_has(any_queue: Queue) -> None:
    assert [len(any_queue.map(jobs.square, range(count))) for count in (0, 1, 7)] == [0, 1, 7]


def test_it_is_true_without_items(any_queue: Queue) -> None:
    """RQ asks jobs whether they are there; and to ask costs no look at the server."""
    job = any_queue.map(jobs.square, [])
    any_queue.connection.flushdb()
    assert job


def test_a_canceled_map(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, range(4))
    job.cancel()
    for how in HOWS.values():
        with pytest.raises(MapCanceledError):
            list(how(job))
