"""Large objects of maps on the server: one copy, as long as the map is there, and believed only as written."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import pytest

import taskq
from taskq import DamagedError, MapError, MapFailedError, MapJob, OptionError, PickleError, Queue, ResultsGoneError
from taskq.maps import shared
from taskq.maps.draft import Draft
from taskq.payload.large import LEAST, Told
from taskq.redis import connection, keys
from taskq.testing import drain
from tests.waiting import HANGS

TABLE = np.arange(LEAST / 4)  # two MiB
FOUND = [float(n) for n in range(5)]
KEY = "k" * 32


def at(table: Any, n: int) -> float:
    assert not table.flags.writeable
    return float(table[n])


def closure(table: Any) -> Callable[[int], float]:
    return lambda n: at(table, n)


class Frame:
    """Stands for a DataFrame of pandas, which tests do not install: says its size as that, and holds arrays."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def memory_usage(self) -> list[int]:
        return [one.nbytes for one in self.columns.values()]


FRAME = Frame(values=TABLE, few=np.arange(9))


def of_frame(frame: Frame, n: int) -> float:
    assert isinstance(frame, Frame)
    assert frame.columns["few"][n] == n
    return at(frame.columns["values"], n)


WAYS: dict[str, Callable[[Queue], MapJob[float]]] = {
    "a partial": lambda queue: queue.map(partial(at, TABLE), range(5)),
    "a closure": lambda queue: queue.map(closure(TABLE), range(5)),
    "each item": lambda queue: queue.map(at, repeat(TABLE), range(5), chunksize=1),
    "a frame in a partial": lambda queue: queue.map(partial(of_frame, FRAME), range(5)),
    "a frame in each item": lambda queue: queue.map(of_frame, repeat(FRAME), range(5), chunksize=1),
}
some_way = pytest.mark.parametrize("way", WAYS)


def there(queue: Queue) -> set[str]:
    return {key.decode() for key in queue.connection.keys("*")} - {"rq:queues", keys.MAPS}


def stored(queue: Queue, job: MapJob[Any]) -> int:
    """Bytes of values that stand in the map's keys before it runs."""
    k, c = job.store.keys, queue.connection
    return sum(map(len, [*c.hvals(k.blobs), *c.hvals(k.bodies), c.get(k.function)]))


@some_way
def test_it_is_on_the_server_once(any_queue: Queue, way: str) -> None:
    job = WAYS[way](any_queue)
    assert TABLE.nbytes < stored(any_queue, job) < TABLE.nbytes + 10_000
    drain(any_queue)
    assert job.get(timeout=HANGS) == FOUND


@some_way
def test_with_a_secret_key(any_queue: Queue, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_SECRET_KEY", KEY)
    queue = Queue(any_queue.name, connection=any_queue.connection)
    job = WAYS[way](queue)
    drain(queue)
    assert job.get(timeout=HANGS) == FOUND


def test_in_this_process(any_queue: Queue) -> None:
    queue = Queue(connection=any_queue.connection, is_async=False)
    assert queue.map(partial(at, TABLE), range(5)).get(timeout=HANGS) == FOUND


def test_it_can_be_told_not_to(any_queue: Queue) -> None:
    job = any_queue.map(lambda table, n: table.flags.writeable and n, repeat(TABLE), range(3), share=False)
    assert not any_queue.connection.exists(job.store.keys.blobs)
    drain(any_queue)
    assert job.get(timeout=HANGS) == [0, 1, 2]
    with pytest.raises(OptionError, match="share must be True or False, not 3"):
        any_queue.map(at, [1], share=3)  # type: ignore[arg-type]


def test_a_map_without_anything_large_says_nothing_of_it(any_queue: Queue) -> None:
    job = any_queue.map(abs, range(5))
    assert not any_queue.connection.exists(job.store.keys.blobs)
    assert job.store.info().terms.blobs == ""
    assert not any_queue.connection.hexists(job.store.keys.hash, keys.MapField.TERMS)


@some_way
def test_it_lives_as_long_as_the_map(any_queue: Queue, way: str) -> None:
    job = WAYS[way](any_queue)
    assert any_queue.connection.ttl(job.store.keys.blobs) == -1
    drain(any_queue)
    limits = {key: any_queue.connection.ttl(key) for key in job.store.keys.all if any_queue.connection.exists(key)}
    assert job.store.keys.blobs in limits
    assert max(limits.values()) - min(limits.values()) <= 1
    assert min(limits.values()) > 0
    job.delete()
    assert not [key for key in there(any_queue) if job.id in key]


def test_it_is_still_there_for_a_retry(any_queue: Queue) -> None:
    any_queue.connection.set("fails", 1)

    def sometimes(table: Any, n: int) -> float:
        from rq import get_current_job

        if (job := get_current_job()) is not None and n == 3 and job.connection.exists("fails"):
            raise ValueError(n)
        return at(table, n)

    job = any_queue.map(partial(sometimes, TABLE), range(5))
    drain(any_queue)
    assert [*job.errors] == [3]
    any_queue.connection.delete("fails")
    job.requeue()
    assert any_queue.connection.ttl(job.store.keys.blobs) == -1
    drain(any_queue)
    assert job.get(timeout=HANGS) == FOUND


@some_way
@pytest.mark.parametrize("damage", ["deleted", "a piece is gone", "changed", "shorter"])
def test_what_was_changed_is_said(any_queue: Queue, way: str, damage: str) -> None:
    job = WAYS[way](any_queue)
    server, key = any_queue.connection, job.store.keys.blobs
    field = min(server.hkeys(key))
    piece = server.hget(key, field)
    if damage == "deleted":
        server.delete(key)
    elif damage == "a piece is gone":
        server.hdel(key, field)
    else:
        server.hset(key, field, piece[:-1] + (b"" if damage == "shorter" else bytes([piece[-1] ^ 1])))
    drain(any_queue)
    with pytest.raises(
        (MapFailedError, DamagedError), match=r"a large object of the map .* (is gone|was changed)"
    ):
        job.get(timeout=HANGS)


@pytest.mark.parametrize("when", ["before an item", "at the end"])
def test_a_server_that_has_lost_some_of_it_is_found_out(any_queue: Queue, when: str) -> None:
    """Before anything is visible; and nothing is left."""

    def items() -> Any:
        yield 1
        (key,) = any_queue.connection.keys("taskq:*:blobs")
        any_queue.connection.hdel(key, any_queue.connection.hkeys(key)[0])
        if when == "before an item":
            yield from range(1000)

    with pytest.raises(MapError, match="the server has lost"):
        any_queue.map(partial(at, TABLE), items())
    assert there(any_queue) == set()


def test_a_producer_that_dies_leaves_nothing_for_ever(any_queue: Queue) -> None:
    def items() -> Any:
        yield 1
        found.update({key: any_queue.connection.ttl(key) for key in there(any_queue)})

    found: dict[str, int] = {}
    any_queue.map(partial(at, TABLE), items(), chunksize=1)
    assert any(key.endswith(":blobs") for key in found)
    assert all(0 < ttl <= keys.WRITING_TTL for ttl in found.values())


def test_a_piece_that_is_said_twice(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    init = Draft.__init__

    def twice(draft: Draft, job_id: str, connection: Any) -> None:
        init(draft, job_id, connection)
        run = draft._scripts.blob
        monkeypatch.setattr(draft._scripts, "blob", lambda keys, args: (run(keys, args), run(keys, args))[1])

    monkeypatch.setattr(Draft, "__init__", twice)
    job = any_queue.map(partial(at, TABLE), range(5))
    drain(any_queue)
    assert job.get(timeout=HANGS) == FOUND


def test_a_piece_that_comes_late_changes_nothing(any_queue: Queue) -> None:
    job = any_queue.map(partial(at, TABLE), range(5))
    k, draft = job.store.known, Draft("other", any_queue.connection)
    before = any_queue.connection.dump(k.blobs)
    names = [k.hash, k.blobs]
    assert draft._scripts.blob(names, [9, k.incarnation, "x", b"y"]) == 1
    assert draft._scripts.blob(names, [9, "another", "x", b"y"]) == 0
    assert any_queue.connection.dump(k.blobs) == before
    assert any_queue.connection.ttl(k.blobs) == -1


def test_a_server_without_memory(url: str) -> None:
    queue = Queue(url=url)
    queue.connection.config_set("maxmemory", int(queue.connection.info("memory")["used_memory"]) + (4 << 20))
    big = np.frombuffer(os.urandom(20 << 20), dtype=np.uint8)
    with pytest.raises(taskq.ServerError, match="memory"):
        queue.map(partial(at, big), range(5))
    with pytest.raises(taskq.ServerError, match="memory"):
        queue.share(big)
    assert there(queue) == set()


# -- shared by hand ------------------------------------------------------------------------------------


def test_several_maps_use_it(any_queue: Queue) -> None:
    with any_queue.share(TABLE) as shared:
        jobs = [any_queue.map(partial(at, shared), range(5)), any_queue.map(at, repeat(shared), range(5))]
        assert not any(any_queue.connection.exists(job.store.keys.blobs) for job in jobs)
        drain(any_queue)
        assert [job.get(timeout=HANGS) for job in jobs] == [FOUND, FOUND]
        assert shared.value is TABLE
        assert TABLE.nbytes < shared.size < TABLE.nbytes + 1000
    assert not any_queue.connection.keys("taskq:shared:*")
    with pytest.raises(ResultsGoneError, match="was unshared"):
        any_queue.map(partial(at, shared), range(5))


def test_without_a_queue(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: real_queue.connection)
    with taskq.share(TABLE) as shared:
        job = real_queue.map(partial(at, shared), range(5))
        drain(real_queue)
        assert job.get(timeout=HANGS) == FOUND


def test_a_fork_that_leaves_the_block_unshares_nothing(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_queue.share([1]) as shared:
        with monkeypatch.context() as fork:
            fork.setattr(os, "getpid", lambda: 1)
            shared.__exit__(SystemExit, SystemExit(), None)
        assert fake_queue.connection.keys("taskq:shared:*")
    assert not fake_queue.connection.keys("taskq:shared:*")


def test_its_time_to_live_begins_anew_with_each_map(any_queue: Queue) -> None:
    shared = any_queue.share(TABLE, ttl=1000)
    (key,) = any_queue.connection.keys("taskq:shared:*")
    assert 990 < any_queue.connection.ttl(key) <= 1000
    any_queue.connection.expire(key, 10)
    any_queue.map(partial(at, shared), range(5))
    assert any_queue.connection.ttl(key) > 990
    assert shared.unshare() is True
    assert shared.unshare() is False


def test_without_a_time_to_live(any_queue: Queue) -> None:
    shared = any_queue.share([1, 2], ttl=None)
    assert [any_queue.connection.ttl(key) for key in any_queue.connection.keys("taskq:shared:*")] == [-1]
    shared.unshare()


@pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan, "1", 10**10])
def test_no_time_to_live(any_queue: Queue, ttl: Any) -> None:
    with pytest.raises(OptionError, match="ttl must be seconds above 0"):
        any_queue.share(TABLE, ttl=ttl)
    assert there(any_queue) == set()


def test_one_that_is_gone_is_missed_when_a_map_is_pushed(any_queue: Queue) -> None:
    shared = any_queue.share(TABLE)
    any_queue.connection.delete(*any_queue.connection.keys("taskq:shared:*"))
    with pytest.raises(ResultsGoneError, match="unshared, expired or evicted"):
        any_queue.map(partial(at, shared), range(5))
    assert there(any_queue) == set()


def test_one_that_is_gone_when_the_map_runs(any_queue: Queue) -> None:
    shared = any_queue.share(TABLE)
    job = any_queue.map(partial(at, shared), range(5))
    shared.unshare()
    drain(any_queue)
    with pytest.raises(MapFailedError, match="it was unshared, or has expired"):
        job.get(timeout=HANGS)


def test_a_pool_process_keeps_what_it_has_read_last(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(one: bytes) -> float:
        return float(pickle.loads(one)[3])

    monkeypatch.setattr(connection, "shared", lambda: fake_queue.connection)
    monkeypatch.setattr(connection, "in_worker", lambda: True)
    first, *others = (pickle.dumps(fake_queue.share(TABLE + n)) for n in range(5))
    assert read(first) == 3.0
    fake_queue.connection.flushdb()
    for _ in range(2):
        assert read(first) == 3.0
    with pytest.raises(ResultsGoneError, match="unshared, expired or evicted"):
        read(others[0])


def test_a_pool_process_keeps_few(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = shared._Held()
    monkeypatch.setattr(shared, "read", lambda told: memoryview(bytes(told.size)))
    told = [Told(f"{n:064x}", n * 10, "") for n in range(6)]
    monkeypatch.setattr(kept, "_MOST", (3, 120))
    for one in told:
        kept.read(one)
    assert list(kept._views) == told[3:]
    kept.read(told[3])
    assert list(kept._views) == [*told[4:], told[3]]
    kept.read(Told("f" * 64, 60, ""))
    assert [one.size for one in kept._views] == [30, 60]
    kept.read(Told("e" * 64, 200, ""))
    assert [one.size for one in kept._views] == [200]


def nested(shared: Any) -> Callable[[int], float]:
    held = {"tables": [shared]}

    def found(n: int) -> float:
        return at(held["tables"][0], n)

    return found


ANEW: dict[str, Callable[[Any], Any]] = {
    "a partial": lambda shared: partial(at, shared),
    "a closure": closure,
    "within a closure": nested,
    "a partial of a closure": lambda shared: partial(closure, shared)(),
    "a default": lambda shared: lambda n, table=shared: at(table, n),
}


@pytest.mark.parametrize("made", ANEW.values(), ids=ANEW)
def test_what_is_shared_anew_is_the_same_to_a_memo(fake_queue: Queue, made: Callable[[Any], Any]) -> None:
    for hits in (0, 5):
        with fake_queue.share(TABLE.copy()) as shared:
            job = fake_queue.map(made(shared), range(5), memo="found")
            assert job.memo_hits == hits
            drain(fake_queue)
            assert job.get() == FOUND
    with fake_queue.share(TABLE + 1) as other, pytest.raises(OptionError, match="another version of"):
        fake_queue.map(made(other), range(5), memo="found")


@pytest.mark.parametrize("made", ANEW.values(), ids=ANEW)
def test_who_shares_anew_attaches(fake_queue: Queue, made: Callable[[Any], Any]) -> None:
    first, again = (
        fake_queue.map(made(fake_queue.share(TABLE.copy())), range(5), job_id="nightly", if_exists="attach")
        for _ in range(2)
    )
    assert again.incarnation == first.incarnation
    with pytest.raises(OptionError, match=r"the code of its function .* is another"):
        fake_queue.map(made(fake_queue.share(TABLE + 1)), range(5), job_id="nightly", if_exists="attach")
    drain(fake_queue)
    assert again.get() == FOUND


def test_items_that_are_shared_anew_are_the_same(fake_queue: Queue) -> None:
    def pushed(table: Any) -> MapJob[float]:
        items = [(fake_queue.share(table), n) for n in range(5)]
        return fake_queue.starmap(at, items, job_id="nightly", if_exists="attach")

    first, again = pushed(TABLE), pushed(TABLE.copy())
    assert again.incarnation == first.incarnation
    with pytest.raises(OptionError, match="its 5 items are others"):
        pushed(TABLE + 1)


def test_the_arguments_of_an_initializer_that_are_shared_anew_are_the_same(fake_queue: Queue) -> None:
    def pushed(table: Any) -> MapJob[int]:
        options: Any = {"initializer": len, "initargs": (fake_queue.share(table),)}
        return fake_queue.map(abs, range(3), memo="abs", **options)

    job = pushed(TABLE)
    drain(fake_queue)
    assert job.get() == [0, 1, 2]
    assert pushed(TABLE.copy()).memo_hits == 3
    with pytest.raises(OptionError, match="another version of"):
        pushed(TABLE + 1)


def test_what_can_not_be_shared(any_queue: Queue) -> None:
    with pytest.raises(PickleError, match="the shared object"):
        any_queue.share(n for n in range(3))
    assert there(any_queue) == set()


def test_a_plain_job_finds_it_too(real_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared", lambda: real_queue.connection)
    shared = real_queue.share(TABLE)
    job = real_queue.enqueue(at, shared, 3)
    drain(real_queue)
    assert job.return_value() == 3.0
    (key,) = real_queue.connection.keys("taskq:shared:*")
    piece = real_queue.connection.hget(key, 1)
    real_queue.connection.hset(key, 1, bytes(len(piece)))
    job = real_queue.enqueue(at, shared, 3)
    drain(real_queue)
    assert "a shared object was changed" in (job.latest_result().exc_string or "")
