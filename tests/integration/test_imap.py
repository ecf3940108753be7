"""``imap``: results while the items are read, bounded; and nothing is left of it."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import MapFailedError, OptionError, PickleError, Queue
from taskq.maps import lazy
from taskq.maps.push import own_cores
from taskq.testing import running_worker
from taskq_workers.service.jobs import closing
from tests import jobs
from tests.waiting import HANGS, wait_until


def left(queue: Queue) -> list[bytes]:
    """What there is of maps."""
    return [
        *queue.connection.keys("taskq:{*"),
        *queue.connection.keys("rq:job:*"),
        *queue.connection.keys("rq:queue:*"),
    ]


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_in_order_and_as_completed(real_queue: Queue, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "ITEMS", 100)  # of a map: it takes several
    wanted = [n * n for n in range(count)]
    with running_worker(real_queue):
        assert list(real_queue.imap(jobs.square, iter(range(count)), buffersize=50)) == wanted
        assert sorted(real_queue.imap_unordered(jobs.square, range(count), buffersize=50)) == wanted
        assert list(real_queue.imap(jobs.add, [(1, 2), (3, 4)], star=True)) == [3, 7]
        wait_until(lambda: not left(real_queue))


def test_an_endless_iterable_is_read_as_far_as_results_are_taken(real_queue: Queue) -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n

    with running_worker(real_queue), real_queue.imap(jobs.square, endless(), buffersize=10) as values:
        for n, value in enumerate(itertools.islice(values, 200)):
            assert value == n * n
            assert len(read) - n <= 10 + 1
    wait_until(lambda: not left(real_queue))


def test_one_that_ends_early_passes_over_nothing(real_queue: Queue) -> None:
    """Of what runs when one failure too many is known, some has ended, and some before it has not."""

    def third(n: int) -> int:
        time.sleep(0.002)
        return n // (n % 3)

    place = 0
    with running_worker(real_queue):
        values = real_queue.imap(third, range(300), max_failures=10)
        while True:
            try:
                assert next(values) == place // (place % 3)
            except ZeroDivisionError:
                assert place % 3 == 0
            except MapFailedError:
                break
            place += 1
    assert place < 300, "it goes as far as all before has ended"


def test_the_first_value_comes_while_the_second_item_is_waited_for(real_queue: Queue) -> None:
    taken = threading.Event()

    def slow() -> Iterator[int]:
        yield 3
        taken.wait()
        yield 4

    with running_worker(real_queue):
        values = real_queue.imap(jobs.square, slow())
        assert next(values) == 9
        taken.set()
        assert list(values) == [16]


def test_the_first_items_are_sent_each_by_itself(real_queue: Queue) -> None:
    """So the first value waits for no other item, however many there are."""
    taken = threading.Event()

    def items() -> Iterator[int]:
        yield from range(300)
        taken.wait()

    def sizes() -> list[int]:
        [register] = real_queue.connection.keys("taskq:{*}:pending") or [b""]
        return [int(entry.partition(b":")[2]) for entry in real_queue.connection.lrange(register, 0, -1)]

    first = lazy._FIRST * own_cores()
    with real_queue.imap(jobs.square, items()):
        wait_until(lambda: sum(sizes()) == 300)
        assert sizes()[:first] == [1] * first
        assert max(sizes()) > 1
        taken.set()


@pytest.mark.parametrize("unordered", [False, True])
def test_the_error_of_the_iterable_comes_after_what_it_gave(real_queue: Queue, unordered: bool) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("mine")

    imap = real_queue.imap_unordered if unordered else real_queue.imap
    with running_worker(real_queue):
        values = imap(jobs.square, items())
        assert sorted(next(values) for _ in range(5)) == [0, 1, 4, 9, 16]
        with pytest.raises(KeyError, match="mine"):
            next(values)
        assert list(values) == []
        wait_until(lambda: not left(real_queue))


def test_an_item_that_fails_raises_in_its_place(real_queue: Queue) -> None:
    with running_worker(real_queue):
        values = real_queue.imap(jobs.invert, [1, 0, 2, 0])
        assert next(values) == 1.0
        for rest in ([0.5], []):
            with pytest.raises(ZeroDivisionError, match="division"):
                next(values)
            assert list(itertools.islice(values, len(rest))) == rest
        assert list(values) == []


def test_an_item_that_cannot_be_sent(real_queue: Queue) -> None:
    with running_worker(real_queue):
        values = real_queue.imap(jobs.square, [1, threading.Lock(), 3], chunksize=1)
        with pytest.raises(PickleError, match="item"):
            list(values)
        wait_until(lambda: not left(real_queue))


@pytest.mark.parametrize("how", ["close", "garbage", "error"])
def test_nothing_is_left_when_nobody_wants_more(real_queue: Queue, how: str) -> None:
    with running_worker(real_queue):
        values = real_queue.imap(jobs.square, itertools.count(), buffersize=100)
        assert next(values) == 0
        if how == "close":
            values.close()
        elif how == "garbage":
            del values
            gc.collect()
        else:
            with pytest.raises(ZeroDivisionError), values:
                raise ZeroDivisionError
        wait_until(lambda: not left(real_queue))
        assert list(real_queue.imap(jobs.square, [2])) == [4]


@pytest.mark.parametrize("ends", [True, False])
def test_who_reads_no_further_costs_no_process_but_that_of_an_item_that_goes_on(
    real_queue: Queue, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, let, flag = closing.let_go, threading.Event(), tmp_path / "flag"
    monkeypatch.setattr(closing, "let_go", lambda *args, **kwargs: (let_go(*args, **kwargs), let.set()))
    monkeypatch.setattr(closing, "LINGERS", HANGS if ends else 0.0)
    with running_worker(real_queue, processes=1) as state:
        (process,) = real_queue.map(jobs.process_id, [0]).get(timeout=HANGS)
        values = real_queue.imap(jobs.wait_for, iter([str(flag)]))
        wait_until(lambda: any(lane.item for lane in state.lanes))  # it has begun: else it never would
        values.close()
        assert let.wait(HANGS)
        if ends:
            flag.touch()
        (after,) = real_queue.map(jobs.process_id, [0]).get(timeout=HANGS)
    assert (after == process) is ends


def test_what_was_closed_is_at_its_end(real_queue: Queue) -> None:
    with running_worker(real_queue):
        values = real_queue.imap(jobs.square, itertools.count(), buffersize=100)
        next(values)
        values.close()
        assert list(values) == []


def test_bad_options(fake_queue: Queue) -> None:
    for options in ({"buffersize": 0}, {"buffersize": None}, {"job_id": "x"}, {"retry": 3}, {"chunksize": 0}):
        with pytest.raises(OptionError):
            fake_queue.imap(jobs.square, [1], **options)
    with pytest.raises(OptionError, match="iterable"):
        fake_queue.imap(jobs.square, 3)  # type: ignore[arg-type]
    assert fake_queue.connection.keys("taskq*") == []
