"""Writing a map: unseen until all of it is there, in bounded memory; and what a producer hears if it can't be."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import DuplicateJobError, MapError, MapJob, Queue
from taskq.maps import draft as draft_module
from taskq.maps.chunk import SOFT_BYTES, Chunk
from taskq.maps.draft import Draft
from taskq.maps.store import MapStore
from taskq.payload.ranges import Range
from taskq.redis.keys import MAPS, WRITING_TTL
from taskq.redis.lua import Operation
from taskq.testing import drain
from tests import jobs
from tests.waiting import HANGS


def left(queue: Queue) -> set[str]:
    """The keys in Redis, but for RQ's list of queues and our list of maps."""
    return {key.decode() for key in queue.connection.keys("*")} - {"rq:queues", MAPS}


def test_the_map_is_visible_only_when_it_is_complete(any_queue: Queue) -> None:
    seen: list[tuple[Any, ...]] = []

    def items() -> Iterator[int]:
        for n in range(5):
            (key,) = any_queue.connection.keys("taskq:{*}")
            assert any_queue.connection.zcard(MAPS) == 0
            state = any_queue.connection.hget(key, "state")
            claimed = MapStore(re.findall(r"{(.*)}", key.decode())[0], any_queue.connection).claim("w", 1)
            seen.append((any_queue.job_ids, any_queue.connection.keys("rq:job:*"), state, claimed))
            yield n

    job = any_queue.map(jobs.square, items(), chunksize=1)
    assert seen == [([], [], b"writing", [b"writing", 0, b"", 0])] * 5
    assert job.store.info().state == "open"
    assert job.store.info().total == 5


def test_keys_expire_while_the_producer_writes(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    ttls: list[list[int]] = []
    write = Draft.write

    def spy(draft: Draft, chunks: Sequence[Chunk]) -> None:
        write(draft, chunks)
        ttls.append([any_queue.connection.ttl(key) for key in any_queue.connection.keys("taskq:*")])

    monkeypatch.setattr(Draft, "write", spy)
    job = any_queue.map(jobs.square, range(300), chunksize=1)
    assert len(ttls) > 1
    assert all(0 < ttl <= WRITING_TTL for row in ttls for ttl in row)
    assert [any_queue.connection.ttl(key) for key in any_queue.connection.keys("taskq:{*")] == [-1] * 4
    assert any_queue.connection.ttl(job.key) == -1


def test_items_that_came_too_slowly(any_queue: Queue) -> None:
    def items() -> Iterator[int]:
        yield 1
        any_queue.connection.delete(*any_queue.connection.keys("taskq:*"))  # as if they had expired
        yield 2

    with pytest.raises(MapError, match="came too slowly"):
        any_queue.map(jobs.square, items(), chunksize=10)
    assert left(any_queue) == set()


# -- what a producer is told ---------------------------------------------------------------------------


def dumps(queue: Queue) -> dict[bytes, bytes]:
    """All of our keys, as a server saves them."""
    return {key: queue.connection.dump(key) for key in queue.connection.keys("taskq:{*")}


def go_back(queue: Queue, to: dict[bytes, bytes]) -> None:
    """Have the server lose what was written since: it has crashed, and come back."""
    queue.connection.delete(*queue.connection.keys("taskq:*"))
    for key, data in to.items():
        queue.connection.restore(key, 0, data)


def test_a_producer_hears_at_once_of_a_gap_in_what_it_wrote(any_queue: Queue) -> None:
    """Else the map would be announced without some of its items, and never be complete."""

    def items() -> Iterator[int]:
        yield from range(128)  # one batch of chunks
        before = dumps(any_queue)
        yield from range(128)
        yield 1
        go_back(any_queue, before)

    with pytest.raises(MapError, match="has lost items of the map"):
        any_queue.map(jobs.square, items(), chunksize=1)
    assert left(any_queue) == set()
    assert any_queue.job_ids == []


def test_a_producer_hears_of_a_gap_as_it_announces(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[dict[bytes, bytes]] = []
    write, is_announced = Draft.write, Draft.is_announced

    def save(draft: Draft, chunks: Sequence[Chunk]) -> None:
        saved.append(dumps(any_queue))
        write(draft, chunks)

    def look(draft: Draft, pipe: Any) -> bool:
        if saved:
            go_back(any_queue, saved.pop())
            saved.clear()
        return is_announced(draft, pipe)

    monkeypatch.setattr(Draft, "write", save)
    monkeypatch.setattr(Draft, "is_announced", look)
    with pytest.raises(MapError, match="has lost items of the map"):
        any_queue.map(jobs.square, range(130), chunksize=1)
    assert left(any_queue) == set()
    assert any_queue.job_ids == []


def test_a_producer_hears_that_the_server_came_back_without_its_map(any_queue: Queue) -> None:
    def items() -> Iterator[int]:
        yield 1
        go_back(any_queue, {})

    with pytest.raises(MapError, match="expired"):
        any_queue.map(jobs.square, items(), chunksize=1)
    assert left(any_queue) == set()


def test_a_producer_does_not_write_into_another_ones_map(any_queue: Queue) -> None:
    """Its own expired, and somebody else pushed the same id."""
    others: list[MapJob] = []

    def items() -> Iterator[int]:
        yield from range(128)
        any_queue.connection.delete(*any_queue.connection.keys("taskq:*"))
        others.append(
            any_queue.map(jobs.square, range(128), job_id="mine", chunksize=1)
        )  # as many as were written
        yield from range(128)

    with pytest.raises(MapError):
        any_queue.map(jobs.invert, items(), job_id="mine", chunksize=1)
    drain(any_queue)
    assert others[0].get(timeout=HANGS) == [n * n for n in range(128)]


def test_a_producer_does_not_remove_what_another_one_is_writing(any_queue: Queue) -> None:
    first, second = (Draft("mine", any_queue.connection) for _ in "ab")
    assert first.begin(b"f", {})
    any_queue.connection.delete(*any_queue.connection.keys("taskq:*"))
    assert second.begin(b"g", {})
    second.write([Chunk(Range(0, 3), b"x")])
    before = dumps(any_queue)
    with pytest.raises(MapError, match="expired"):
        first.write([Chunk(Range(0, 3), b"y")])
    first.abandon()
    assert dumps(any_queue) == before
    second.abandon()
    assert left(any_queue) == set()


@pytest.mark.parametrize("name", ["begin", "append", "write"])
def test_what_is_said_twice_is_written_once(any_queue: Queue, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No reply was heard, so it is said again."""
    monkeypatch.setattr(draft_module, "PIECE", 10)
    init = Draft.__init__

    def twice(draft: Draft, job_id: str, connection: Any) -> None:
        init(draft, job_id, connection)
        run = getattr(draft._scripts, name)
        monkeypatch.setattr(draft._scripts, name, lambda keys, args: (run(keys, args), run(keys, args))[1])

    monkeypatch.setattr(Draft, "__init__", twice)
    job = any_queue.map(jobs.square, range(300), chunksize=1)
    keys = job.store.keys
    assert any_queue.connection.llen(keys.pending) == any_queue.connection.hlen(keys.bodies) == 300
    drain(any_queue)
    assert job.get(timeout=HANGS) == [n * n for n in range(300)]


def test_what_is_left_of_an_expired_one_does_not_become_a_part_of_it(any_queue: Queue) -> None:
    """The server's clock was set on and back: its hash was removed meanwhile, and all else has come back."""
    earlier = any_queue.map(jobs.invert, range(5), chunksize=1, job_id="one")
    any_queue.connection.delete(earlier.store.keys.hash, earlier.key)
    any_queue.connection.lrem(any_queue.key, 1, "one")
    job = any_queue.map(jobs.square, range(4), chunksize=2, job_id="one")
    keys = job.store.keys
    assert any_queue.connection.llen(keys.pending) == any_queue.connection.hlen(keys.bodies) == 2
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 4, 9]


# -- a large function ----------------------------------------------------------------------------------


def large(size: int) -> Any:
    data = os.urandom(size)
    return lambda n: (n, len(data), hash(data))


def test_no_command_holds_more_of_it_than_a_piece(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    longest: list[int] = []
    run = Operation.__call__

    def note(self: Operation, keys: list[str], args: list[Any], pipe: Any = None) -> Any:
        longest.append(max((len(arg) for arg in args if isinstance(arg, bytes)), default=0))
        return run(self, keys, args, pipe)

    monkeypatch.setattr(Operation, "__call__", note)
    job = any_queue.map(large(3 * draft_module.PIECE), range(2), share=False)
    assert max(longest) == draft_module.PIECE
    assert 0 < any_queue.connection.strlen(job.store.keys.function) - 3 * draft_module.PIECE < draft_module.PIECE
    drain(any_queue)
    assert [(n, size) for n, size, _ in job.get(timeout=HANGS)] == [(0, 3 << 20), (1, 3 << 20)]


@pytest.mark.parametrize("when", ["at the next piece", "at the end"])
def test_a_producer_hears_that_a_piece_is_gone(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(draft_module, "PIECE", 1000)
    append, before = Draft._append, list[dict[bytes, bytes]]()

    def go_on(draft: Draft, start: int, piece: bytes) -> None:
        before.append(dumps(any_queue))
        append(draft, start, piece)
        if when == "at the next piece" and len(before) == 2:
            go_back(any_queue, before[-1])

    def items() -> Iterator[int]:
        yield 1
        if when == "at the end":
            any_queue.connection.set(function_key(any_queue), b"some of it")

    monkeypatch.setattr(Draft, "_append", go_on)
    with pytest.raises(MapError, match="has lost"):
        any_queue.map(large(10_000), items())
    assert left(any_queue) == set()
    assert any_queue.job_ids == []


def function_key(queue: Queue) -> bytes:
    (key,) = queue.connection.keys("taskq:*:function")
    return bytes(key)


def test_what_was_written_comes_again_when_the_map_is_open(any_queue: Queue) -> None:
    """A connection broke, so it was said again; and only then the server came to the first time."""
    draft = Draft("mine", any_queue.connection)
    assert draft.begin(b"f", {})
    chunks = [Chunk(Range(0, 3), b"x")]
    draft.write(chunks)
    with any_queue.connection.pipeline() as pipe:
        draft.announce(pipe, {}, None)
        pipe.execute()
    before = dumps(any_queue)
    draft.total = 0
    draft.write(chunks)
    assert dumps(any_queue) == before
    limits = [any_queue.connection.ttl(key) for key in any_queue.connection.keys("taskq:{mine}*")]
    assert set(limits) == {-1}, "an open map must not expire"


def test_a_map_that_is_announced_while_another_producer_looks_stays(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no RQ job yet, and in the next moment it has both: a tool that has deleted the job looks alike."""
    writing = Draft("mine", any_queue.connection)
    assert writing.begin(b"f", {})
    status_there = MapJob.status_there

    def announced_then(job: MapJob, found: Any) -> Any:
        status = status_there(job, found)
        with any_queue.connection.pipeline() as pipe:
            writing.announce(pipe, {}, None)
            pipe.execute()
        return status

    monkeypatch.setattr(MapJob, "status_there", announced_then)
    with pytest.raises(DuplicateJobError, match="being written by another producer"):
        any_queue.map(jobs.square, range(3), job_id="mine")
    assert any_queue.connection.hget(writing.keys.hash, "state") == b"open"


def test_what_a_server_says_is_being_written_is_not_if_this_process_is_done_with_it(any_queue: Queue) -> None:
    """It came back as it was before the map was announced."""
    job = any_queue.map(jobs.square, range(3), job_id="mine")
    any_queue.connection.hset(job.store.keys.hash, "state", "writing")
    any_queue.connection.delete(job.key, any_queue.key)
    again = any_queue.map(jobs.square, range(2), job_id="mine")
    drain(any_queue)
    assert again.get(timeout=HANGS) == [0, 1]


def test_what_was_given_up_while_the_server_was_away_may_be_pushed_again(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    def away(_draft: Draft) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(Draft, "abandon", away)
    with pytest.raises(ZeroDivisionError):
        any_queue.map(jobs.square, items(), job_id="mine")
    assert any_queue.map(jobs.square, [3], job_id="mine").store.info().total == 1


def test_a_write_is_atomic(any_queue: Queue) -> None:
    draft = Draft("mine", any_queue.connection)
    draft.begin(b"f", {})
    first, second = (Chunk(Range(start, 3), b"x") for start in (0, 3))
    draft.write([first])
    before = dumps(any_queue)
    draft.write([second])
    go_back(any_queue, before)
    for _ in range(2):
        with pytest.raises(MapError, match="lost items"):
            draft.write([Chunk(Range(6, 3), b"x")])
    assert dumps(any_queue) == before


# -- bounded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", [False, True])
def test_large_maps_are_written_in_bounded_memory(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, generator: bool
) -> None:
    taken = written = 0
    ahead: list[int] = []
    sizes: list[int] = []
    write = Draft.write

    def items() -> Iterator[bytes]:
        nonlocal taken
        for n in range(3000):
            taken += 1
            yield bytes([n % 256]) * 5000

    class Sized:
        def __len__(self) -> int:
            return 3000

        def __iter__(self) -> Iterator[bytes]:
            return items()

    def spy(draft: Draft, chunks: Sequence[Chunk]) -> None:
        nonlocal written
        ahead.append(taken - written)
        sizes.append(sum(len(chunk.body) for chunk in chunks))
        written += sum(chunk.range.count for chunk in chunks)
        write(draft, chunks)

    monkeypatch.setattr(Draft, "write", spy)
    any_queue.map(len, items() if generator else Sized())
    assert written == taken == 3000
    assert max(sizes) <= 2 * SOFT_BYTES + 1000
    assert max(ahead) * 5000 <= 4 * SOFT_BYTES


def test_a_generator_of_many_small_items_is_written_as_it_comes(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = itertools.count()
    lag: list[int] = []
    write = Draft.write

    def spy(draft: Draft, chunks: Sequence[Chunk]) -> None:
        write(draft, chunks)
        lag.append(next(counter) - chunks[0].range.start)

    monkeypatch.setattr(Draft, "write", spy)
    job = any_queue.map(abs, itertools.takewhile(lambda n: n < 100_000, counter))
    assert job.store.info().total >= 90_000
    assert len(lag) > 1
