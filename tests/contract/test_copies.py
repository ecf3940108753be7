"""``speculate``: a range may be claimed twice; whoever commits first ends both, and nothing is counted twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from taskq import OptionError, Queue, Retry
from taskq.maps import deaths
from taskq.maps.claim import Claim
from taskq.maps.job import MapJob
from taskq.maps.store import MapStore
from taskq.redis import keys
from taskq.redis.keys import MapField
from taskq.redis.urls import url_of
from taskq_workers.cli import cli
from taskq_workers.dashboard import maps
from tests import jobs
from tests.contract.by_hand import A, B, claim, commit, consistent, give_back, halve, held, names, pending, saved
from tests.waiting import BRIEF, wait_until

C = "worker-c"
TOOK = 500.0  # seconds: so long that no test takes a part of it
OLD = 10 * TOOK


def opened(queue: Queue, **options: Any) -> MapJob[int]:
    """A map of five ranges: of three it is known how long they took, by A, and two are A's."""
    job = queue.map(jobs.square, range(10), chunksize=2, **{"speculate": True, **options})
    assert job.store.open(A) is not None
    for _ in range(3):
        assert commit(job.store, *claim(job.store)).committed
    assert len(claim(job.store, 9)) == 2
    if job.store.connection.delete(job.store.keys.took):
        took(job.store, TOOK, A, 3)
    return job


def test_it_is_kept_how_long_ranges_took(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(300), chunksize=1, speculate=True)
    assert job.store.open(A) is not None
    for one in claim(job.store, 110):
        commit(job.store, one)
    assert any_queue.connection.lrange(job.store.keys.took, 0, -1) == [f"0.500000 {A}".encode()] * 101


def age(store: MapStore, seconds: float, range_: str = "") -> None:
    """Have what is claimed be claimed so long before."""
    for name, moment in store.connection.zrange(store.keys.since, 0, -1, withscores=True):
        if range_ in ("", name.decode()):
            store.connection.zadd(store.keys.since, {name: moment - seconds})


def took(store: MapStore, seconds: float, worker: str, times: int = 1) -> None:
    store.connection.lpush(store.keys.took, *[f"{seconds} {worker}"] * times)


def copies(store: MapStore, worker: str = B, count: int = 9) -> list[Claim]:
    return store.read_claims(store.copy(worker, count), worker).claims


def raced(queue: Queue, **options: Any) -> tuple[MapStore, Claim, Claim]:
    """A range, with both claims of it; the other is left to A."""
    store = opened(queue, **options).store
    first = next(one for one in store.claims() if str(one.range) == "6:2")
    age(store, OLD, "6:2")
    [second] = copies(store)
    body = store.connection.hget(store.keys.bodies, str(first.within))
    return store, Claim(first.range, first.token, first.deaths, first.within, A, body), second


def seen(queue: Queue, job: MapJob[int], worker: str = B) -> float | None:
    """In how many seconds a range is to run a second time, as ``look.lua`` tells a worker."""
    before, after = job.store.keys.hash.split(job.id)
    args = [keys.OPEN, before, after, "rq:queue:", 9, 0, worker, queue.name]
    _suspended, [_number, _jobs, found] = job.store.scripts.look(["rq:suspended"], args)
    return float(found[6]) if found[6] else None


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=100)


# -- what is to run twice ----------------------------------------------------------------------------


def test_a_range_is_claimed_again_when_it_has_run_for_twice_the_median(any_queue: Queue) -> None:
    job = opened(any_queue)
    assert copies(job.store) == []
    assert seen(any_queue, job) == about(2 * TOOK)
    age(job.store, 1.2 * TOOK, "6:2")
    assert seen(any_queue, job) == about(0.8 * TOOK)
    age(job.store, 1.2 * TOOK, "6:2")
    assert seen(any_queue, job) == 0
    reply = job.store.read_claims(job.store.copy(B, 9), B)
    assert names(reply.claims) == ["6:2"]
    assert reply.wait == about(2 * TOOK), "the other one"
    assert held(job.store, B) == {"6:2": 0}
    assert held(job.store, A) == {"6:2": 0, "8:2": 0}
    assert copies(job.store, C) == [], "it runs twice already"
    assert job.store.connection.hget(job.store.keys.hash, MapField.COPIED) == b"1"
    consistent(job.store)


def test_what_has_run_longest_comes_first(any_queue: Queue) -> None:
    store = opened(any_queue).store
    age(store, OLD)
    age(store, OLD, "8:2")
    assert names(copies(store, count=1)) == ["8:2"]
    assert names(copies(store, count=1)) == ["6:2"]


def test_a_slow_worker_s_ranges_are_claimed_again_at_once(any_queue: Queue) -> None:
    job = opened(any_queue)
    took(job.store, TOOK, B, 9)
    took(job.store, 4 * TOOK, A, 4)
    assert seen(any_queue, job) == 0
    assert seen(any_queue, job, A) == about(4 * TOOK), "by whom it would take as long"
    age(job.store, 3.5 * TOOK)
    assert seen(any_queue, job) == about(TOOK / 2), "it will be through before another one would be"


def test_of_few_ranges_nobody_knows_what_is_usual(any_queue: Queue) -> None:
    job = opened(any_queue)
    age(job.store, OLD)
    job.store.connection.ltrim(job.store.keys.took, 0, 1)
    assert (seen(any_queue, job), copies(job.store)) == (None, [])


def test_what_is_short_is_not_worth_it(any_queue: Queue) -> None:
    job = opened(any_queue)
    took(job.store, 0.001, A, 20)
    age(job.store, -OLD)  # as if it had just begun, however long that is ago
    assert seen(any_queue, job) == 0.1


def test_nothing_runs_twice_while_something_is_pending(any_queue: Queue) -> None:
    job = opened(any_queue)
    age(job.store, OLD)
    [one] = [one for one in job.store.claims() if str(one.range) == "8:2"]
    give_back(job.store, one)
    assert (seen(any_queue, job), copies(job.store)) == (None, [])


def test_nothing_runs_twice_that_something_has_died_of(any_queue: Queue) -> None:
    job = opened(any_queue)
    give_back(job.store, *job.store.claims(), deaths=1)
    assert len(claim(job.store, 9)) == 2
    age(job.store, OLD)
    assert (seen(any_queue, job), copies(job.store)) == (None, [])


@pytest.mark.parametrize("field", [MapField.PAUSED, MapField.MAX_RUNNING, MapField.ENOUGH])
def test_nothing_runs_twice_of_a_map_that_rests_or_has_caps(any_queue: Queue, field: str) -> None:
    job = opened(any_queue)
    age(job.store, OLD)
    job.store.connection.hset(job.store.keys.hash, field, "1")
    assert (seen(any_queue, job), copies(job.store)) == (None, [])


def test_a_map_that_was_not_told_so_has_nothing_of_it(any_queue: Queue) -> None:
    job = opened(any_queue, speculate=False)
    assert (seen(any_queue, job), copies(job.store)) == (None, [])
    assert job.store.connection.exists(job.store.keys.since, job.store.keys.took) == 0


# -- who is first ------------------------------------------------------------------------------------


@pytest.mark.parametrize("winner", [0, 1])
def test_the_first_commit_ends_both(any_queue: Queue, winner: int) -> None:
    store, *both = raced(any_queue)
    channel = any_queue.connection.pubsub()
    channel.psubscribe("rq:pubsub:*")
    assert commit(store, both[winner]).committed
    consistent(store)
    before = store.info()
    assert not commit(store, both[1 - winner]).committed
    assert store.info() == before
    assert store.held_by(B) == []
    assert list(held(store, A)) == ["8:2"]
    assert [name for name, _ in store.connection.zscan(store.keys.since)[1]] == [b"8:2"]
    said: list[Any] = []

    def heard() -> bool:
        if (one := channel.get_message(timeout=BRIEF)) is not None and one["type"] == "pmessage":
            said.append(one["data"])
        return bool(said)

    wait_until(heard)
    loser = both[1 - winner]
    assert [json.loads(one) for one in said] == [
        {"command": "taskq-beaten", "map": store.keys.id, "token": loser.token}
    ]
    channel.close()


def test_what_is_not_through_is_left_by_both(any_queue: Queue) -> None:
    store, first, second = raced(any_queue)
    assert commit(store, second, stop=7).committed
    assert pending(store) == ["7:1 0"]
    assert not commit(store, first).committed
    consistent(store)


@pytest.mark.parametrize("leaver", [0, 1])
def test_who_gives_it_back_leaves_it_to_the_other(any_queue: Queue, leaver: int) -> None:
    store, *both = raced(any_queue)
    assert give_back(store, both[leaver]) == 1
    assert (pending(store), [*store.copies()]) == ([], [])
    assert not commit(store, both[leaver]).committed
    consistent(store)
    assert commit(store, both[1 - leaver]).committed


@pytest.mark.parametrize("first_to_die", [0, 1])
def test_deaths_of_both_count_and_each_once(any_queue: Queue, first_to_die: int) -> None:
    store, *both = raced(any_queue)
    assert give_back(store, both[first_to_die], deaths=1) == 1
    assert pending(store) == [], "the other goes on"
    assert give_back(store, both[first_to_die], deaths=1) == 0, "said twice"
    age(store, OLD, "6:2")
    assert copies(store, C) == [], "something has died of it"
    assert give_back(store, both[1 - first_to_die], deaths=deaths.SERVICE) == 1
    assert pending(store) == [f"6:2 {deaths.SERVICE + 1} 6:2"]
    assert store.connection.exists(store.keys.copies) == 0
    consistent(store)


def test_success_acquits_of_the_death_of_the_other(any_queue: Queue) -> None:
    store, first, second = raced(any_queue)
    give_back(store, first, deaths=1)
    assert commit(store, second).committed
    assert store.connection.exists(store.keys.copies) == 0
    consistent(store)


def test_one_that_is_divided_is_left_to_the_other(any_queue: Queue) -> None:
    store, first, second = raced(any_queue)
    assert halve(store, first) == 1
    assert pending(store) == []
    assert halve(store, second) == 1
    assert pending(store) == ["6:1 0 6:2", "7:1 0 6:2"]
    consistent(store)


def test_tries_of_an_item_count_once(any_queue: Queue) -> None:
    store, first, second = raced(any_queue, item_retry=Retry(3))
    assert commit(store, first, failing=[6]).committed
    assert not commit(store, second, failing=[6]).committed
    assert store.info().failed == 1
    consistent(store)


def test_a_closed_map_has_no_second_claims(any_queue: Queue) -> None:
    store, first, second = raced(any_queue)
    store.close("enough")
    assert (commit(store, first).committed, commit(store, second).committed) == (False, False)
    assert store.connection.exists(store.keys.copies, store.keys.since) == 0
    assert store.open(A) is not None
    assert len(claim(store, 9)) == 2
    assert not commit(store, second).committed
    consistent(store)


def test_a_server_that_is_back_as_it_was_knows_who_has_a_claim(any_queue: Queue) -> None:
    store = opened(any_queue).store
    age(store, OLD)
    restore = saved(store)
    [lost, _] = copies(store)
    restore()
    assert not commit(store, lost).committed
    [found, _] = copies(store, C)
    restore = saved(store)
    assert commit(store, found).committed
    restore()
    assert commit(store, found).committed
    consistent(store)


def test_all_that_a_worker_holds_goes_back(any_queue: Queue) -> None:
    store, _first, second = raced(any_queue)
    assert store.release_all(B) == 1
    assert (pending(store), store.held_by(B)) == ([], [])
    assert not commit(store, second).committed
    age(store, OLD)
    assert len(copies(store, C)) == 2
    assert store.release_orphans() == 4, "nobody of them works on it"
    assert sorted(pending(store)) == ["6:2 0 6:2", "8:2 0 8:2"]
    consistent(store)


# -- the option --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"speculate": 1}, {"max_running": 2}, {"rate": "5/s"}])
def test_what_can_not_be_meant_is_refused(any_queue: Queue, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="speculate"):
        any_queue.map(jobs.square, range(3), **{"speculate": True, **options})
    assert any_queue.connection.keys("taskq:{*") == []


def test_it_is_named_by_the_command_and_shown(real_queue: Queue) -> None:
    told, run = {"TASKQ_URL": url_of(real_queue.connection)}, CliRunner()
    pushed = run.invoke(cli, ["map", "math:sqrt", *"123456789", "--detach", "--speculate"], env=told)
    store = real_queue.fetch_job(pushed.output.strip()).store
    assert store.open(A) is not None
    for one in claim(store, 3):
        commit(store, one)
    assert len(claim(store, 99)) == 6
    age(store, 5)
    assert len(copies(store, count=2)) == 2
    said = run.invoke(cli, ["show", store.keys.id], env=told).output
    assert "speculate: True" in said
    assert "copied: 2" in said
    assert "6 claimed, 2 of them twice" in said
    shown = json.loads(run.invoke(cli, ["show", store.keys.id, "--json"], env=told).output)
    assert shown["items"]["terms"] == {"speculate": True, "copied": 2}
    assert (shown["chunks"]["twice"], shown["workers"]) == (2, {A: 6, B: 2})
    line = maps.find(real_queue.connection, store.keys.id)
    assert line is not None
    assert line["terms"] == {"speculate": True, "copied": 2}
    plain = run.invoke(cli, ["map", "math:sqrt", "4", "--detach"], env=told).output.strip()
    assert real_queue.fetch_job(plain).store.info().terms.named == {}


def test_it_is_one_of_the_terms(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(3), speculate=True)
    assert job.store.info().terms.named == {"speculate": True}
