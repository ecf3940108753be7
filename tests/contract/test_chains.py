"""Maps whose items are another map's results: each gets its item once, whoever says so, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rq import Retry
from rq.job import Job, JobStatus

from taskq import MapJob, OptionError, Queue, ReplacedError, SourceFailedError
from taskq.maps import follow
from taskq.maps.body import Body
from taskq.maps.control import FOLLOWED_TTL
from taskq.maps.follow import MORE, OVER, Follower
from taskq.maps.proof import prove
from taskq.maps.source import Source
from taskq.maps.store import MapStore
from taskq.payload import signing
from taskq.payload.ranges import Range
from taskq.redis.keys import MapField, MapKeys
from taskq.testing import drain
from tests import jobs
from tests.contract.by_hand import A, claim, commit, everything, pending, placed, saved

WAITS = b"waits"


def pair(queue: Queue, count: int = 6, **options: Any) -> tuple[MapJob[Any], MapJob[Any]]:
    """A map in chunks of two, and one that follows it; both have an owner."""
    first = queue.map(jobs.square, range(count), chunksize=2)
    first.store.open(A)
    second = first.map(jobs.square, **options)
    second.store.open(A)
    return first, second


def fed(job: MapJob[Any]) -> bytes:
    """Have it get what there is; what the script says in the end."""
    said = MORE
    while said == MORE:
        said = follow.step(job.store, job.store.info())
    return said


def ended(job: MapJob[Any], status: JobStatus = JobStatus.FINISHED) -> None:
    """As its owner ends it."""
    job.store.close()
    job.set_status(status)


def settled(job: MapJob[Any]) -> Follower:
    """As its owner keeps it up with its source, until there is nothing more to do at once."""
    follower = Follower(job.store)
    follower.look()
    while follower.busy:
        follower.look()
    return follower


def waiting(job: MapJob[Any]) -> list[int]:
    """The items that are pending, in that order."""
    return [index for name in pending(job.store) for index in items_in(Range.parse(name))]


def items_in(span: Range) -> range:
    return range(span.start, span.end)


def given(job: MapJob[Any]) -> dict[int, Any]:
    """Index -> item, of all that can be claimed of it."""
    found: dict[int, Any] = {}
    source = job.store.info().terms.follows
    for one in claim(job.store, 100):
        body = Body.read(job.store.keys, one.body, source)
        indexes, _at, items = body.within(one.range)
        assert body.loads is not None
        found |= dict(zip(indexes, map(body.loads, items), strict=True))
    return found


def test_what_is_committed_is_an_item_at_once(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    ahead, behind, last = claim(first.store, 3)
    assert commit(first.store, behind).followers == f"{second.id} {second.incarnation}"
    assert fed(second) == WAITS
    assert waiting(second) == [2, 3]
    commit(first.store, ahead)
    commit(first.store, last)
    assert fed(second) == WAITS, "it may be tried again, for its end is not on record"
    assert given(second) == {index: index for index in range(6)}, "each in its place"
    assert len(second) == 6
    ended(first)
    assert fed(second) == OVER


def test_said_twice_it_changes_nothing(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    commit(first.store, claim(first.store)[0])
    fed(second)
    before = everything(second.store)
    for _ in range(3):
        fed(second)
    assert everything(second.store) == before


def test_who_commits_to_others_hears_of_nobody(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(2))
    job.store.open(A)
    assert commit(job.store, claim(job.store)[0]).followers == ""


def test_a_server_that_forgets_what_was_taken_forgets_that_it_was(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    held = claim(first.store, 3)
    commit(first.store, held[1])
    forget_first, forget_second = saved(first.store), saved(second.store)
    commit(first.store, held[0])
    fed(second)
    assert waiting(second) == [2, 3, 0, 1]
    forget_first()
    forget_second()
    commit(first.store, held[2])  # in another order than before
    fed(second)
    commit(first.store, held[0])
    fed(second)
    assert waiting(second) == [2, 3, 4, 5, 0, 1]


def test_what_has_failed_fails_once_it_is_final(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one, failing=[3] if 3 in one.to_do else [])
    follower = settled(second)
    assert second.store.info().failed == 0
    assert not follower.reason
    ended(first, JobStatus.FAILED)
    settled(second)
    settled(second)
    info = second.store.info()
    assert (info.failed, info.passed, info.first, info.written) == (1, 1, 3, 5)
    for one in claim(second.store, 10):
        commit(second.store, one)
    prove(second.store)
    assert sum(group.count for group in second.store.groups()) == 1
    failure = second.errors[3]
    assert failure.message == f"item 3 has no value: item 3 of the map {first.id} failed with ValueError: x"
    assert isinstance(failure.exception(), SourceFailedError)


def test_said_late_it_is_not_taken(any_queue: Queue) -> None:
    """What has failed of a source is said when that has been opened again: it may have a result by then."""
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one, failing=one.to_do)
    assert fed(second) == WAITS
    s, k = first.store.keys, second.store.keys
    args = [k.incarnation, s.incarnation, "kind", 10, k.events, 0, 0, b"record"]
    names = [k.hash, k.errors, k.groups, s.hash, s.errors, Job.key_for(s.id)]
    assert second.store.scripts.pass_on(names, args) == -1, "more may come"
    ended(first, JobStatus.FAILED)
    assert fed(second) == OVER
    assert second.store.scripts.pass_on(names, [k.incarnation, "0" * 32, *args[2:]]) == -1, "of another one"
    first.set_status(JobStatus.QUEUED)
    first.store.open(A)
    assert second.store.scripts.pass_on(names, args) == -1, "it is tried again"
    commit(first.store, claim(first.store)[0])
    assert fed(second) == WAITS, "nothing has come of its first end"
    assert waiting(second) == [0, 1]


def test_what_comes_after_some_have_failed_is_not_taken(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one, failing=one.to_do)
    ended(first, JobStatus.FAILED)
    settled(second)
    assert second.store.info().failed == 6
    first.set_status(JobStatus.QUEUED)
    first.store.open(A)
    commit(first.store, claim(first.store)[0])
    assert fed(second) == OVER, "until it is tried again itself"
    assert not pending(second.store)


@pytest.mark.parametrize("status", [JobStatus.CANCELED, JobStatus.FAILED, JobStatus.STOPPED])
def test_of_a_source_that_ends_early_what_there_was_is_done(any_queue: Queue, status: JobStatus) -> None:
    first, second = pair(any_queue)
    commit(first.store, claim(first.store)[0])
    first.store.close("somebody's reason")
    first.set_status(status)
    assert not settled(second).reason, "two items wait"
    for one in claim(second.store, 10):
        commit(second.store, one)
    reason = settled(second).reason
    assert reason == (
        f"the map {first.id}, whose results are its items, has ended as {status.value} with 2 of 6 done: "
        "somebody's reason"
    )


def test_a_source_that_is_gone_is_said(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    commit(first.store, claim(first.store)[0])
    fed(second)
    first.delete()
    any_queue.map(jobs.square, range(6), job_id=first.id)  # which is none of its business
    for one in claim(second.store, 10):
        commit(second.store, one)
    assert settled(second).reason == (
        f"the map {first.id}, whose results are its items, is gone: it was deleted, was replaced, or has expired, "
        "with 2 of them taken"
    )
    with pytest.raises(ReplacedError):
        first.map(jobs.square)


def test_what_was_taken_needs_the_source_no_more(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one)
    ended(first)
    fed(second)
    first.delete()
    assert not settled(second).reason
    assert given(second) == {index: index for index in range(6)}


def test_a_retry_takes_what_there_is_by_then(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one, failing=[3] if 3 in one.to_do else [])
    ended(first, JobStatus.FAILED)
    settled(second)
    for one in claim(second.store, 10):
        commit(second.store, one, failing=[0])
    ended(second, JobStatus.FAILED)
    first.store.open(A)
    commit(first.store, claim(first.store)[0])
    ended(first)
    second.store.open(A)
    settled(second)
    assert sorted(given(second)) == [0, 3], "what has failed, and what had no value"
    assert second.store.info().failed == 0


def test_large_runs_are_cut(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_AT_ONCE", (5, 1 << 20))
    first = any_queue.map(jobs.square, range(20), chunksize=20)
    drain(any_queue)
    plain, sized = first.map(jobs.square), first.map(jobs.square, chunksize=3)
    capped = first.map(jobs.square, rate="5/s")
    for job in (plain, sized, capped):
        while follow.step(job.store, job.store.info()) == MORE:
            pass
    assert pending(plain.store) == ["0:5", "5:5", "10:5", "15:5"]
    assert {Range.parse(one).count for one in pending(sized.store)} <= {1, 2, 3}
    assert len(pending(capped.store)) == 20
    for job in (plain, sized):
        job.store.open(A)
        assert given(job) == {index: index**2 for index in range(20)}


def test_an_open_map_is_followed_before_its_end_is_known(any_queue: Queue) -> None:
    first = any_queue.open_map(jobs.square)
    first.put_many(range(3))
    first.store.open(A)
    second = first.map(jobs.square)
    second.store.open(A)
    for one in claim(first.store, 3):
        commit(first.store, one)
    assert fed(second) == WAITS
    assert (len(second), second.store.info().sealed) == (3, False)
    for one in claim(second.store, 10):
        commit(second.store, one)
    assert not second.store.info().complete
    first.seal()
    settled(second)
    assert second.store.info().complete


def test_a_chain_of_three(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    third = second.map(jobs.square)
    third.store.open(A)
    for one in claim(first.store, 3):
        commit(first.store, one, failing=[5])
    ended(first, JobStatus.FAILED)
    settled(second)
    for one in claim(second.store, 10):
        commit(second.store, one, failing=[0])
    ended(second, JobStatus.FAILED)
    settled(third)
    assert sorted(given(third)) == [1, 2, 3, 4]
    assert sorted(third.errors) == [0, 5]
    assert third.errors[5].message.count("SourceFailedError") == 1


# -- how long a source is kept -----------------------------------------------------------------------------


def test_a_source_is_kept_until_all_is_taken(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one)
    ended(first)
    first.store.expire(0)
    left = any_queue.connection.ttl(first.store.keys.results)
    assert FOLLOWED_TTL - 5 <= left <= FOLLOWED_TTL
    settled(second)
    assert not any_queue.connection.exists(*first.store.keys.all)
    assert len(given(second)) == 6


def test_of_several_that_follow_the_last_lets_it_go(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    third = first.map(jobs.square)
    third.store.open(A)
    for one in claim(first.store, 3):
        commit(first.store, one)
    ended(first)
    first.store.expire(100)
    settled(third)
    assert any_queue.connection.ttl(first.store.keys.results) > 100
    settled(second)
    assert 90 < any_queue.connection.ttl(first.store.keys.results) <= 100


def test_a_source_that_is_kept_for_longer_is_left_alone(any_queue: Queue) -> None:
    first, second = pair(any_queue)
    for one in claim(first.store, 3):
        commit(first.store, one)
    ended(first)
    first.store.expire(10 * FOLLOWED_TTL)
    settled(second)
    assert any_queue.connection.ttl(first.store.keys.results) > 9 * FOLLOWED_TTL


def test_it_has_the_time_to_live_of_its_job_while_nobody_has_begun_it(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(2))
    first.store.open(A)
    second = first.map(jobs.square, ttl=100)
    commit(first.store, claim(first.store)[0])
    fed(second)
    assert any_queue.connection.ttl(second.store.keys.bodies) > 0
    second.store.open(A)
    assert any_queue.connection.ttl(second.store.keys.bodies) == -1


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "options", "why"),
    [
        ({"results": "discard"}, {}, "nobody's item"),
        ({"first": 2}, {}, "first=2"),
        ({}, {"first": 2}, "has no option first"),
        ({}, {"memo": "x"}, "has no option memo"),
        ({}, {"job_id": "x", "if_exists": "attach"}, "has no option if_exists"),
        ({}, {"chunksize": 0}, "chunksize"),
        ({}, {"buffersize": 3}, "unknown option buffersize"),
        ({}, {"queue": 7}, "queue must be the name"),
        ({}, {"max_failures": -1}, "max_failures"),
    ],
)
def test_what_makes_no_sense(any_queue: Queue, told: Any, options: Any, why: str) -> None:
    job = any_queue.map(jobs.square, range(3), **told)
    before = set(any_queue.connection.keys())
    with pytest.raises(OptionError, match=why):
        job.map(jobs.square, **options)
    assert set(any_queue.connection.keys()) == before, "nothing was written"
    assert not job.store.info().followers


# -- whole ---------------------------------------------------------------------------------------------------


def test_run_whole(any_queue: Queue) -> None:
    first = any_queue.map(jobs.invert, [1, 2, 0, 4])
    second = first.map(jobs.invert)
    others = second.starmap(jobs.add), second.map("tests.jobs.invert", max_failures=0)
    drain(any_queue)
    assert second.get(errors="return")[:2] == [1.0, 2.0]
    with pytest.raises(SourceFailedError, match=f"item 2 of the map {first.id} failed with ZeroDivisionError"):
        second.get()
    assert placed(second.store) == [0, 1, 3]
    assert others[0].errors[0].type == "TypeError", "no pair"
    with pytest.raises(SourceFailedError, match=f"item 2 of the map {second.id} failed"):
        others[1].get()


def test_run_whole_where_it_is_pushed(fake_queue: Queue) -> None:
    queue = Queue("here", connection=fake_queue.connection, is_async=False)
    assert queue.map(jobs.square, range(4)).map(jobs.square).get() == [0, 1, 16, 81]


def test_in_another_queue(any_queue: Queue) -> None:
    first = any_queue.map(jobs.square, range(4))
    before = set(any_queue.connection.keys())
    for name in ("a b", "", 3, "a{b}"):
        with pytest.raises(OptionError, match="queue must be the name of one"):
            first.map(jobs.square, queue=name)
    assert set(any_queue.connection.keys()) == before
    second = first.map(jobs.square, queue="elsewhere", job_id="second")
    drain(any_queue)
    assert first.ready()
    assert not second.ready()
    drain(Queue("elsewhere", connection=any_queue.connection))
    assert second.get() == [0, 1, 16, 81]
    assert Job.fetch("second", connection=any_queue.connection).origin == "elsewhere"


def test_without_items(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, []).map(jobs.square)
    drain(any_queue)
    assert job.get() == []


def test_without_results_of_its_own(any_queue: Queue) -> None:
    job = any_queue.map(jobs.square, range(5)).map(jobs.square, results="discard")
    drain(any_queue)
    assert job.count() == 5


# -- with a key ----------------------------------------------------------------------------------------------


@pytest.fixture
def keyed(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv(signing.VARIABLE, "correct horse battery staple and more")
    yield Queue(any_queue.name, connection=any_queue.connection)
    signing._in_use.clear()


def test_signed_results_are_items(keyed: Queue) -> None:
    second = keyed.map(jobs.square, range(6), chunksize=2).map(jobs.square, retry=Retry(1))
    drain(keyed)
    assert second.get() == [n**4 for n in range(6)]


def test_results_of_another_place_are_none(keyed: Queue) -> None:
    """Somebody gives it the results of another map, or mixes them up."""
    first = keyed.map(jobs.square, range(2), chunksize=1)
    other = keyed.map(jobs.square, range(2), chunksize=1)
    drain(keyed)
    second = first.map(jobs.square)
    fed(second)
    k = second.store.keys
    keyed.connection.hset(k.bodies, "0:1", keyed.connection.hget(k.bodies, "1:1").replace(b"r 1 1", b"r 0 1"))
    drain(keyed)
    assert "was signed for another one" in second.errors[0].message
    third = first.map(jobs.square)
    mine, its = third.store.keys, other.store.keys
    keyed.connection.delete(mine.bodies, mine.pending)
    keyed.connection.hset(mine.hash, mapping={MapField.SOURCE: f"{its.id} {its.incarnation}", MapField.NEXT: 0})
    keyed.connection.hdel(mine.hash, MapField.TAKEN, MapField.OVER)
    follow.feed(third.store.scripts, MapKeys(mine.id, mine.incarnation), Source(its.id, its.incarnation))
    drain(keyed)
    assert [one.type.rpartition(".")[2] for one in third.errors.values()] == ["SignatureError"] * 2


def test_its_announcement_is_checked(keyed: Queue) -> None:
    first = keyed.map(jobs.square, range(2))
    second = first.map(jobs.square)
    assert isinstance(second.store, MapStore)
    keyed.connection.hset(second.store.keys.hash, MapField.TOTAL, 1)
    drain(keyed)
    with pytest.raises(Exception, match="was changed since it was pushed"):
        second.get()
