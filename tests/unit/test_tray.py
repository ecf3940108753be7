"""Large results in shared memory: what is laid down, where, and when its place is free again."""

from __future__ import annotations

import gc
import os
import sys
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq_workers.link import tray
from taskq_workers.link.tray import Carried, Clearing, Laid, Memory, Tray

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all goes through the pipe")

QUARTER = tray.SIZE // 4


@pytest.fixture
def memory() -> Memory:
    return allotted()


def allotted() -> Memory:
    memory = tray.allot()
    assert memory is not None, (
        "not allowed here: all large results go through the pipe, and the tests of it are void"
    )
    memory.handed_over()
    return memory


def test_small_results_are_left_alone(memory: Memory) -> None:
    values = [b"x" * (tray.LARGE - 1), b""]
    assert Tray(memory).lay(values) == values
    assert Tray(memory).lay([]) == []


def test_large_ones_are_seen_where_they_lie(memory: Memory) -> None:
    value = os.urandom(tray.LARGE)
    laid = Tray(memory).lay([b"small", value])
    assert laid == [b"small", Laid(0, len(value))]
    small, view = Clearing(memory).take(laid)
    assert (small, bytes(view)) == (b"small", value)


def test_without_such_memory_everything_goes_through_the_pipe() -> None:
    values = [b"x" * tray.LARGE]
    assert Tray(None).lay(values) == [Carried(values[0])]
    assert Tray(None).lay([b"small"]) == [b"small"]


@pytest.mark.parametrize("memory", [None, "allotted"])
def test_what_came_through_the_pipe_is_sent_from_where_it_is(memory: str | None) -> None:
    values = [b"small", b"x" * (tray.SIZE + 1)]
    laid = Tray(allotted() if memory else None).lay(values)
    small, view = Clearing(None).take(laid)
    assert small is values[0]
    assert isinstance(view, memoryview)
    assert view.obj is values[1], "a copy of what is large costs as much as to send it"


def test_what_finds_no_room_goes_through_the_pipe(memory: Memory) -> None:
    sender, values = Tray(memory), [bytes(QUARTER)] * 6
    assert [type(one) for one in sender.lay(values)] == [Laid] * 4 + [Carried] * 2
    assert sender.lay([bytes(tray.SIZE + 1)]) == [Carried(bytes(tray.SIZE + 1))]


def test_a_place_is_free_when_nobody_looks_at_it_any_more(memory: Memory) -> None:
    sender, receiver = Tray(memory), Clearing(memory)
    first, second, *rest = receiver.take(sender.lay([bytes(QUARTER)] * 4))
    assert isinstance(sender.lay([bytes(QUARTER)])[0], Carried)
    del second
    receiver.sweep()
    assert isinstance(sender.lay([bytes(QUARTER)])[0], Carried), "the one before it is still in the way"
    del first
    receiver.sweep()
    assert [type(one) for one in sender.lay([bytes(QUARTER)] * 3)] == [Laid, Laid, Carried]
    assert len(rest) == 2


def test_an_empty_ring_has_room_for_all_that_fits(memory: Memory) -> None:
    sender, receiver = Tray(memory), Clearing(memory)
    for size in (QUARTER + 8, 3 * QUARTER, 3 * QUARTER, tray.SIZE, QUARTER):
        [laid] = sender.lay([bytes(size)])
        assert isinstance(laid, Laid)
        receiver.take([laid])
        receiver.sweep()


def test_a_failed_call_does_not_keep_its_views(memory: Memory) -> None:
    sender, receiver = Tray(memory), Clearing(memory)

    def fail() -> None:
        views = receiver.take(sender.lay([bytes(tray.SIZE)]))
        refused = ValueError(len(views))
        raise refused

    gc.disable()
    try:
        fail()
    except ValueError as error:
        tray.let_go(error)
    receiver.sweep()
    gc.enable()
    assert isinstance(sender.lay([bytes(tray.SIZE)])[0], Laid)


def test_the_memory_outlives_its_lane(memory: Memory) -> None:
    value = os.urandom(tray.LARGE)
    receiver = Clearing(memory)
    [view] = receiver.take(Tray(memory).lay([value]))
    del receiver, memory
    gc.collect()
    assert bytes(view) == value


@given(st.lists(st.tuples(st.integers(tray.LARGE, 3 * QUARTER), st.integers(0, 3))), st.randoms())
def test_nothing_is_overwritten_while_somebody_looks_at_it(steps: list[tuple[int, int]], random: object) -> None:
    memory = allotted()
    sender, receiver = Tray(memory), Clearing(memory)
    held: deque[tuple[bytes, memoryview | bytes]] = deque()
    for number, (size, forget) in enumerate(steps):
        value = number.to_bytes(8, "big") * (size // 8)
        [got] = receiver.take(sender.lay([value]))
        held.append((value, got))
        for _ in range(min(forget, len(held))):
            held.rotate(random.randrange(len(held)))  # type: ignore[attr-defined]
            held.pop()
        assert all(value[:64] == got[:64] and value[-64:] == got[-64:] for value, got in held)
    got = b""
    del got, held
    receiver.sweep()
    assert isinstance(sender.lay([bytes(tray.SIZE // 2)])[0], Laid), "all is free again"
