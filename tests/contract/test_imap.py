"""``imap`` when ``next`` is broken off, when the server is away, and in a fork; its worker is played by hand."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from redis.exceptions import RedisError

from taskq import ItemError, MapError, Queue, TaskqError
from taskq.maps import lazy, outage
from taskq.maps.open_map import OpenMap
from taskq.maps.waiting import Events
from tests import jobs
from tests.contract.by_hand import claim, commit
from tests.waiting import BRIEF, HANGS, wait_until


@contextmanager
def works(values: Any) -> Iterator[None]:
    """Whatever is put on one of its maps ends at once; results are the indexes."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(BRIEF):
            with suppress(RedisError, TaskqError):  # the server is away, or the map was taken to its end
                for job in list(values._flow._maps):
                    run(job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(HANGS)
        values.close()


def run(job: OpenMap[Any, Any]) -> None:
    for one in claim(job.store, 100):
        commit(job.store, one, failing=(4,))
    info = job.store.info()
    if info.sealed and info.complete and not job.ready():
        job.store.close()
        job.set_status("failed" if info.failed else "finished")


def broken_off(monkeypatch: pytest.MonkeyPatch, values: Any) -> None:
    """Ctrl-C while it waits."""

    def interrupt(*_args: Any, **_options: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Events, "next", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(values)


@pytest.mark.parametrize("in_order", [True, False])
def test_a_call_that_was_broken_off_repeats_nothing(
    fake_queue: Queue, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    go = threading.Event()

    def items() -> Iterator[int]:
        yield from range(3)
        go.wait(HANGS)
        yield 3

    values = (fake_queue.imap if in_order else fake_queue.imap_unordered)(jobs.square, items())
    with works(values):
        assert sorted(next(values) for _ in range(3)) == [0, 1, 2]
        broken_off(monkeypatch, values)
        go.set()
        assert list(values) == [3]
    assert not fake_queue.connection.keys("taskq:{*")


def test_a_broken_look_repeats_nothing(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    values = fake_queue.imap(jobs.square, range(10), chunksize=1)
    told: list[Any] = []
    with works(values):
        told.append(next(values))
        wait_until(values._flow._maps[0].ready)
        reads, looks = lazy.Arrivals.check, [1]

        def look(arrivals: Any) -> bool:
            if looks:
                looks.pop()
                raise KeyboardInterrupt
            return reads(arrivals)

        monkeypatch.setattr(lazy.Arrivals, "check", look)
        for _ in range(12):
            try:
                told.append(next(values))
            except (ItemError, KeyboardInterrupt, StopIteration) as error:
                told.append(type(error).__name__)
    assert told == [0, 1, 2, 3, "ItemError", 5, 6, 7, 8, 9, "KeyboardInterrupt", "StopIteration", "StopIteration"]
    assert not fake_queue.connection.keys("taskq:{*")


def test_a_server_that_is_away_for_a_moment(fake_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    go, heard = threading.Event(), threading.Event()
    server = fake_queue.connection.connection_pool.connection_kwargs["server"]
    monkeypatch.setattr(outage, "say", lambda _text: heard.set())

    def items() -> Iterator[int]:
        yield from range(3)
        go.wait(HANGS)
        yield 3

    values = fake_queue.imap(jobs.square, items())
    with works(values):
        told = [next(values) for _ in range(2)]
        wait_until(lambda: values._flow._maps[0].progress.done == 3)  # nothing is claimed that could not be stored
        server.connected = False
        go.set()
        rest = threading.Thread(target=lambda: told.extend(values))
        rest.start()
        assert heard.wait(HANGS)
        server.connected = True
        rest.join(HANGS)
        assert told == [0, 1, 2, 3]


def test_a_fork_ends_nothing_of_it(fake_queue: Queue) -> None:
    values = fake_queue.imap(jobs.square, range(3))
    opened = fake_queue.open_map(jobs.square)
    opened.put(1)
    wait_until(lambda: values._flow._maps and values._flow._maps[0].accepted == 3)
    assert opened._feed is not None
    with values._flow._change, opened.feed._turn:  # as other threads have them, if it forks at a bad moment
        pid = os.fork()
        if not pid:
            os._exit(0 if leaves(values, opened) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert opened.store.info().state == "open"
    assert not opened.store.info().sealed
    with works(values):
        assert list(values) == [0, 1, 2]
    opened.cancel()


def leaves(values: Any, opened: OpenMap[Any, Any]) -> bool:
    """What a fork does with both at its end; whether it was told that they are not its own."""
    told = 0
    for act in (lambda: next(values), lambda: opened.put(2), opened.seal):
        try:
            act()
        except MapError as error:
            told += "fork" in str(error)
    values.close()
    opened.__exit__(None, None, None)
    opened.__exit__(SystemExit, SystemExit(), None)
    return told == 3
