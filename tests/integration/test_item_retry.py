"""``item_retry``: an item that fails is tried again while its map runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rq
from rq.job import JobStatus

from taskq import DamagedError, ItemTimeoutError, OptionError, Queue, Retry
from taskq.maps import terms
from taskq.maps.item_retry import Spell
from taskq.maps.store import MapStore
from taskq.redis.keys import MapField
from taskq.testing import drain, running_worker
from tests import jobs
from tests.contract.by_hand import NOTE, A, claim, consistent, give_back, names, outcome, placed
from tests.waiting import HANGS, wait_until

NOW = Retry(3, backoff=0)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def runs(ledger: Path) -> Counter[int]:
    """Item -> how often it was tried."""
    return Counter(int(line.split()[0]) for line in ledger.read_text().splitlines())


# -- workers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["service", "stock"])
@pytest.mark.parametrize("chunksize", [1, 4])
def test_it_is_tried_again_until_it_succeeds(fake_queue: Queue, ledger: Path, worker: str, chunksize: int) -> None:
    flaky = partial(jobs.fail_times, str(ledger), times=2)
    job = fake_queue.map(flaky, range(6), chunksize=chunksize, item_retry=Retry(2, backoff=0.01, on=OSError))
    if worker == "stock":
        drain(fake_queue)
        assert job.get(timeout=HANGS) == list(range(6))
    else:
        with running_worker(fake_queue):
            assert job.get(timeout=HANGS) == list(range(6)), "in their order"
    assert set(runs(ledger).values()) == {3}


def test_what_fails_each_time_has_failed_at_the_last(fake_queue: Queue, ledger: Path) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(
            partial(jobs.fail_times, str(ledger), times=9), range(3), chunksize=3, item_retry=NOW, max_failures=2
        )
        wait_until(job.ready)
        assert job.get_status() == JobStatus.FAILED
        assert [failure.attempts for failure in job.errors.values()] == [4, 4, 4]
        assert [type(one) for one in job.get(timeout=HANGS, errors="return")] == [jobs.FlakyError] * 3
        assert runs(ledger) == {0: 4, 1: 4, 2: 4}


def test_only_the_last_failure_counts_for_max_failures(fake_queue: Queue, ledger: Path) -> None:
    with running_worker(fake_queue):
        flaky = partial(jobs.fail_times, str(ledger), times=3)
        job = fake_queue.map(flaky, range(4), item_retry=NOW, max_failures=0)
        assert job.get(timeout=HANGS) == list(range(4))


@pytest.mark.parametrize(("on", "not_on", "tried"), [
    (Exception, (), 2), (ConnectionError, (), 2), ((ValueError, OSError), (), 2), (jobs.FlakyError, (), 2),
    (ValueError, (), 1), (Exception, ConnectionError, 1), (OSError, (jobs.FlakyError, ValueError), 1),
])  # fmt: skip
def test_after_which_errors(fake_queue: Queue, ledger: Path, on: Any, not_on: Any, tried: int) -> None:
    retry = Retry(1, backoff=0, on=on, not_on=not_on)
    job = fake_queue.map(partial(jobs.fail_times, str(ledger), times=9), [7], item_retry=retry)
    drain(fake_queue)
    assert runs(ledger) == {7: tried}
    assert [failure.attempts for failure in job.errors.values()] == [tried]


def test_a_class_that_no_module_has(fake_queue: Queue, ledger: Path) -> None:
    class HereError(Exception):
        pass

    class SubError(HereError):
        pass

    with running_worker(fake_queue):
        flaky = partial(jobs.fail_times, str(ledger), times=2, error=SubError)
        assert fake_queue.map(flaky, [5], item_retry=Retry(2, backoff=0, on=HereError)).get(timeout=HANGS) == [5]


def test_what_ends_a_program_is_no_exception(fake_queue: Queue, ledger: Path) -> None:
    fake_queue.map(partial(jobs.fail_times, str(ledger), times=9, error=SystemExit), [1], item_retry=NOW)
    drain(fake_queue)
    assert runs(ledger) == {1: 1}


def test_what_cannot_be_stored_is_not_tried_again(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.unpicklable, [1], item_retry=NOW)
    drain(fake_queue)
    assert [(failure.type, failure.attempts) for failure in job.errors.values()] == [("PickleError", 1)]


@pytest.mark.parametrize("nap", [jobs.nap, jobs.sleep_in_c])
def test_an_item_over_its_time(fake_queue: Queue, nap: Any) -> None:
    with running_worker(fake_queue):
        retry = Retry(1, backoff=0, on=ItemTimeoutError)
        job = fake_queue.map(nap, [30.0], item_timeout=0.05, item_retry=retry)
        wait_until(job.ready)
        assert [(failure.type, failure.attempts) for failure in job.errors.values()] == [("ItemTimeoutError", 2)]


def test_a_process_that_waits_for_nobody_runs_others(fake_queue: Queue, ledger: Path) -> None:
    with running_worker(fake_queue, processes=1) as state:
        slow = Retry(1, backoff=3600)
        job = fake_queue.map(
            partial(jobs.fail_times, str(ledger), times=1), range(3), chunksize=1, item_retry=slow
        )
        wait_until(lambda: fake_queue.connection.zcard(job.store.keys.later) == 3)
        wait_until(lambda: not any(run.in_hand or run.ended for run in state.maps))
        assert fake_queue.map(jobs.square, [3]).get(timeout=HANGS) == [9]
        looks = state.looks
        wait_until(lambda: state.looks > looks + 1)
        assert state.looks < looks + 9, "nothing goes round in circles meanwhile"
        job.store.check()
        later = fake_queue.connection.zrange(job.store.keys.later, 0, -1)
        fake_queue.connection.zadd(job.store.keys.later, dict.fromkeys(later, 0))  # the hour is over
        assert job.get(timeout=HANGS) == [0, 1, 2]


def test_of_an_open_map_and_of_imap(fake_queue: Queue, ledger: Path) -> None:
    with running_worker(fake_queue):
        with fake_queue.open_map(partial(jobs.fail_times, str(ledger), times=1), item_retry=NOW) as job:
            job.put_many(range(4))
        assert job.get(timeout=HANGS) == list(range(4))
        flaky = partial(jobs.fail_times, str(ledger), times=1)
        assert list(fake_queue.imap(flaky, range(10, 14), item_retry=NOW)) == [10, 11, 12, 13]


def test_beside_a_retry_of_the_whole(fake_queue: Queue, ledger: Path) -> None:
    with running_worker(fake_queue):
        job = fake_queue.map(
            partial(jobs.fail_times, str(ledger), times=3), [1], item_retry=Retry(1, backoff=0), retry=rq.Retry(1)
        )
        assert job.get(timeout=HANGS) == [1]
        assert runs(ledger) == {1: 4}, "each try of the map has all the tries of its items"


# -- what stands in Redis ----------------------------------------------------------------------------


def waiting(store: MapStore) -> list[str]:
    return [entry.decode() for entry in store.connection.zrange(store.keys.later, 0, -1)]


def failed_once(queue: Queue, pause: float) -> MapStore:
    """A map of one chunk of four items, of which two have failed and wait for their next try."""
    store = queue.map(jobs.square, range(4), chunksize=4, item_retry=Retry(2)).store
    store.open(A)
    [held] = claim(store)
    what = outcome(store, held, failing=[1, 3])
    what = replace(what, failures=[], left=[], again=what.left)
    assert store.read_commit(store.commit(held, what, NOTE, pause=pause)).committed
    return store


def test_it_waits_on_the_server(any_queue: Queue) -> None:
    store = failed_once(any_queue, 3600)
    assert placed(store) == [0, 2]
    assert waiting(store) == ["1:3 10000000"]
    reply = store.read_claims(store.claim(A, 9), A)
    assert (reply.claims, reply.pending) == ([], 0)
    assert reply.wait is not None
    assert 3590 < reply.wait <= 3600
    store.check()
    any_queue.connection.zadd(store.keys.later, {"1:3 10000000": 0})
    [again] = claim(store, 9)
    assert (names([again]), again.deaths, list(again.to_do)) == (["1:3"], 10_000_000, [1, 3])
    assert waiting(store) == []
    give_back(store, again)
    assert [one.deaths for one in claim(store)] == [10_000_000]


def test_a_map_that_is_closed_and_opened_again_waits_on(any_queue: Queue) -> None:
    store = failed_once(any_queue, 3600)
    store.close("for a while")
    store.expire(60)
    assert any_queue.connection.ttl(store.keys.later) > 0
    store.open(A)
    assert any_queue.connection.ttl(store.keys.later) == -1
    assert waiting(store) == ["1:3 10000000"]
    store.close("for good")
    store.expire(0)
    assert any_queue.connection.keys(f"taskq:{{{store.keys.id}}}*") == []


def test_a_map_without_it_has_no_such_key(any_queue: Queue) -> None:
    store = any_queue.map(jobs.square, range(4)).store
    store.open(A)
    claim(store)
    assert not any_queue.connection.hexists(store.keys.hash, MapField.RETRIES)
    consistent(store)


# -- what it can be ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"max": 0}, {"max": -1}, {"max": True}, {"max": 1.5}, {"max": "3"}, {"max": 1001},
    {"backoff": -1}, {"backoff": (1, 2)}, {"backoff": [1, 2, 60]}, {"backoff": (1, 2, "60")}, {"backoff": None},
    {"backoff": float("nan")}, {"backoff": float("inf")}, {"backoff": 31 * 24 * 3600}, {"jitter": 1.1},
    {"jitter": -0.1}, {"jitter": True}, {"on": ()}, {"on": ValueError()}, {"on": int}, {"on": [ValueError]},
    {"on": "ValueError"}, {"not_on": None}, {"not_on": (ValueError, 3)},
    {"backoff": (10, 2, 5)}, {"backoff": (1, 0.5, 60)}, {"backoff": (0, 0, 60)},
    {"on": OSError, "not_on": OSError}, {"on": (OSError, KeyError), "not_on": (OSError, LookupError)},
    {"not_on": Exception},
])  # fmt: skip
def test_what_it_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"taskq\.Retry"):
        Retry(**{"max": 1, **options})


@pytest.mark.parametrize("value", [3, True, rq.Retry(max=3), "3", (1, 2)])
def test_what_the_option_cannot_be(fake_queue: Queue, value: Any) -> None:
    with pytest.raises(OptionError, match=r"item_retry must be a taskq\.Retry"):
        fake_queue.map(jobs.square, [1], item_retry=value)
    with pytest.raises(OptionError, match=r"retry must be RQ's Retry"):
        fake_queue.map(jobs.square, [1], retry=NOW)  # type: ignore[typeddict-item]
    assert fake_queue.connection.keys("taskq:{*") == []


def test_the_pauses() -> None:
    def pauses(retry: Retry, *tried: int) -> list[float]:
        return [Spell.read(retry.spell).pause(one) for one in tried]

    assert pauses(Retry(9, jitter=0), 1, 2, 3, 7, 900) == [1, 2, 4, 60, 60]
    assert pauses(Retry(9, backoff=(1.5, 1e3, 1e6), jitter=0), 1, 3, 900) == [1.5, 1e6, 1e6]
    assert pauses(Retry(9, backoff=0.25, jitter=0), 1, 9) == [0.25, 0.25]
    assert pauses(Retry(900, backoff=(0, 1e6, 60)), 1, 900) == [0, 0]
    spread = pauses(Retry(9, backoff=10, jitter=0.5), *[1] * 200)
    assert 5 <= min(spread) < 8
    assert 12 < max(spread) <= 15


@pytest.mark.parametrize("text", ["3", "0 times", "3 times, after 1 s", '{"max": 3}', "x" * 500])
def test_what_a_spell_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no item_retry"):
        Spell.read(text)
    with pytest.raises(DamagedError):
        terms.read(json.dumps({"item_retry": text}))


def test_it_is_announced(fake_queue: Queue) -> None:
    job = fake_queue.map(jobs.square, [1], item_retry=Retry(3, on=(KeyError, ValueError)))
    info = job.store.info()
    assert info.terms.item_retry in info.announcement.decode()
    assert info.terms.item_retry.endswith("on KeyError ValueError")
    assert info.terms.spell == Spell(3, 1.0, 2.0, 60.0, 0.1, timeouts=False)
    but = Retry(3, on=OSError, not_on=(PermissionError, TimeoutError))  # a term of its own: see if_exists="attach"
    assert but.spell.endswith(", on OSError, not on PermissionError, not on TimeoutError")
    assert Spell.read(but.spell) == info.terms.spell
