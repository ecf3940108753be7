"""Who holds a job says what becomes of it: the index of what workers hold, and all that takes entries off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import rq
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry

from taskq import MapJob, Queue
from taskq.errors import DamagedError
from taskq.redis import clock, holdings, keys, services
from taskq.redis.holdings import Holding
from taskq.redis.kinds import is_other
from taskq.redis.lua import Scripts
from taskq.redis.services import ServiceInfo
from taskq.testing import drain
from taskq_workers import readable
from taskq_workers.link.tasks import JobOutcome
from taskq_workers.service.core.execution import Taken
from taskq_workers.service.jobs import short_path
from taskq_workers.service.rq import successes
from taskq_workers.service.rq.fence import FencedPipeline
from taskq_workers.service.rq.worker import RQWorker
from taskq_workers.service.upkeep import mirror, recovery
from taskq_workers.service.upkeep.evidence import LOST
from tests import jobs
from tests.contents import everything

NAME = "worker"
LATER = "2099-01-02T03:04:05.000006Z"


class Begun:
    """A job that a worker has begun on the long path."""

    def __init__(self, queue: Queue, job_id: str = "", **options: Any) -> None:
        self.connection = queue.connection
        self.worker = RQWorker((queue.name,), NAME, queue.connection)
        if not queue.connection.exists(self.worker.key):
            self.worker.register_birth()
        self.queue: rq.Queue = self.worker.queues[0]
        self.id = job_id or queue.enqueue(jobs.square, 3, **options).id
        queue.connection.lrem(queue.key, 1, self.id)
        self.job = self.worker.job_of(self.id, self.fields)
        with queue.connection.pipeline() as pipe:
            self.execution = self.worker.begin(self.job, self.queue, pipe)
            pipe.execute()

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.connection.hgetall(Job.key_for(self.id)))

    @property
    def rq(self) -> tuple[Job, rq.Queue, Execution]:
        return self.job, self.queue, self.execution

    @property
    def holding(self) -> Holding:
        return Holding(self.id, self.execution.id, holdings.BEGUN, self.queue.name)

    def forget_in_rq(self) -> None:
        """All that RQ keeps of the run expires."""
        self.connection.delete(*self.connection.keys("rq:execution*"), self.worker.executions_key)


def _retry(begun: Begun) -> bool:
    value = begun.job.serializer.dumps(None)
    return begun.worker.retry(*begun.rq, JobOutcome(value, retry=(2, [0], False)))


ENDS: dict[str, Callable[[Begun], bool]] = {
    "succeed": lambda begun: begun.worker.succeed(*begun.rq, 9),
    "fail": lambda begun: begun.worker.fail(*begun.rq, "ValueError: for a test"),
    "stop": lambda begun: begun.worker.fail(*begun.rq, "stopped", stopped=True),
    "retry": _retry,
    "forget": lambda begun: begun.worker.forget(begun.job, begun.execution),
}
ENDINGS = [end for end in ENDS if end != "forget"]
AGAIN: dict[str, Callable[[Queue, str], object]] = {
    "a map": lambda queue, job_id: queue.map(jobs.square, range(4), job_id=job_id),
    "a plain job": lambda queue, job_id: queue.enqueue(jobs.square, 5, job_id=job_id),
}
OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "with a retry": {"retry": rq.Retry(max=2)}}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("expired", [False, True], ids=["", "RQ's records expired"])
def test_an_end_is_recorded_while_it_is_held(any_queue: Queue, end: str, options: str, expired: bool) -> None:
    begun = Begun(any_queue, **OPTIONS[options])
    if expired:
        begun.forget_in_rq()
    assert begun.worker.holds(begun.execution)
    assert ENDS[end](begun)
    assert not begun.worker.holds(begun.execution)
    assert end == "forget" or begun.fields.get(b"status") != b"started"
    assert not any_queue.connection.exists(keys.held(NAME), begun.execution.key)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_is_not_ours_changes_nothing(any_queue: Queue, end: str, options: str) -> None:
    """Though RQ's records say that it is."""
    begun = Begun(any_queue, **OPTIONS[options])
    any_queue.connection.delete(keys.held(NAME))
    before = everything(any_queue.connection)
    assert not ENDS[end](begun)
    assert everything(any_queue.connection) == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("meanwhile", ["taken over", "another comes"])
def test_it_is_ours_up_to_the_very_commit(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, end: str, meanwhile: str
) -> None:
    begun = Begun(any_queue)
    watch, acted = FencedPipeline.watch, []

    def act_then(self: FencedPipeline, *names: str) -> None:
        watch(self, *names)  # it is held, so far
        if not acted:
            acted.append(1)
            if meanwhile == "taken over":
                assert recovery.recover(any_queue.connection, NAME) == 1
            else:
                any_queue.connection.hset(keys.held(NAME), "other:1", "begun default")

    monkeypatch.setattr(FencedPipeline, "watch", act_then)
    assert ENDS[end](begun) is (meanwhile == "another comes")
    assert acted
    if meanwhile == "taken over":
        assert any_queue.job_ids == [begun.id]
        assert begun.fields[b"status"] == b"queued"
        assert begun.job.results() == []
    else:
        assert any_queue.connection.hkeys(keys.held(NAME)) == [b"other:1"]


@pytest.mark.parametrize("end", ["succeed", "fail", "stop"])
@pytest.mark.parametrize("when", ["before", "in the last moment"])
@pytest.mark.parametrize("what", ["cancelled", "deleted", "pushed again"])
def test_the_end_of_a_map_is_not_recorded_of_another_one(
    any_queue: Queue, monkeypatch: pytest.MonkeyPatch, end: str, when: str, what: str
) -> None:
    """The service was stopped for a while, just before; nobody has taken over, so what it holds is held still."""
    begun = Begun(any_queue, any_queue.map(jobs.square, range(3), retry=rq.Retry(max=2)).id)

    def replace() -> None:
        job = MapJob.fetch(begun.id, connection=any_queue.connection)
        job.cancel()
        if what != "cancelled":
            job.delete()
        if what == "pushed again":
            any_queue.map(jobs.square, range(4), job_id=begun.id)

    watch = FencedPipeline.watch

    def replace_then(self: FencedPipeline, *names: str) -> None:
        watch(self, *names)
        monkeypatch.setattr(FencedPipeline, "watch", watch)
        replace()

    if when == "before":
        replace()
    else:
        monkeypatch.setattr(FencedPipeline, "watch", replace_then)
    assert not ENDS[end](begun)
    assert not begun.worker.holds(begun.execution)
    if what != "pushed again":
        assert begun.fields.get(b"status") == (b"canceled" if what == "cancelled" else None)
        assert any_queue.job_ids == [], "it is not tried again"
        return
    assert begun.fields[b"status"] == b"queued"
    drain(any_queue)
    assert MapJob.fetch(begun.id, connection=any_queue.connection).get() == [0, 1, 4, 9]


@pytest.mark.parametrize("end", ["succeed", "fail", "stop"])
def test_of_two_who_have_begun_the_same_map_one_records_its_success(any_queue: Queue, end: str) -> None:
    """Its id was twice in RQ's lists: one of them had been taken before the map was cancelled and pushed again."""
    first = Begun(any_queue, any_queue.map(jobs.square, range(3), retry=rq.Retry(max=2)).id)
    second = Begun(any_queue, first.id)
    assert ENDS["succeed"](first)
    assert not ENDS[end](second)
    assert not second.worker.holds(second.execution)
    assert second.fields[b"status"] == b"finished"
    assert len(second.job.results()) == 1
    assert any_queue.job_ids == []


def test_of_those_that_succeed_together_only_ours_are_recorded(any_queue: Queue) -> None:
    ours, theirs, deleted = (Begun(any_queue) for _ in range(3))
    any_queue.connection.hdel(keys.held(NAME), theirs.holding.key)
    Job.fetch(deleted.id, any_queue.connection).delete()
    successes.record(ours.worker, [(*one.rq, 9) for one in (ours, theirs, deleted)])
    assert [one.fields.get(b"status") for one in (ours, theirs, deleted)] == [b"finished", b"started", None]
    assert not any_queue.connection.exists(keys.held(NAME))
    assert [len(one.job.results()) for one in (ours, theirs)] == [1, 0]


# -- the short path ----------------------------------------------------------------------------------


class Quick:
    """A job that take.lua has begun."""

    def __init__(self, queue: Queue, job_id: str = "") -> None:
        self.scripts = Scripts(queue.connection)
        self.connection = queue.connection
        self.worker = RQWorker((queue.name,), NAME, queue.connection)
        self.scripts.take.load()
        self.scripts.finish.load()
        self.id = job_id or queue.enqueue(jobs.square, 3).id
        self.state: Any = type("State", (), {"name": NAME, "worker": self.worker, "scripts": self.scripts,
                                             "connection": queue.connection})()  # fmt: skip
        with queue.connection.pipeline() as pipe:
            short_path.queue_take(pipe, self.scripts, self.worker, self.worker.queues, "0" * 24, room=1)
            [[self.job], _others] = short_path.read_take(self.state, self.worker.queues, pipe.execute()[0])

    def finish(self) -> int:
        self.job.outcome = JobOutcome(ran=(1.0, 2.0))
        with self.connection.pipeline() as pipe:
            short_path.queue_finish(self.state, pipe, [self.job])
            [code, _idle] = pipe.execute()[0]
        return int(code)

    @property
    def status(self) -> Any:
        return self.connection.hget(Job.key_for(self.id), "status")


def test_who_takes_a_job_holds_it(any_queue: Queue) -> None:
    quick = Quick(any_queue)
    assert holdings.read(any_queue.connection, NAME) == {quick.job.holding.key: quick.job.holding}
    assert any_queue.connection.ttl(keys.held(NAME)) == -1
    assert services.lost(any_queue.connection, quick.scripts, 60.0) == [NAME], "so that somebody looks after it"


def test_a_success_is_recorded_though_rq_s_records_have_expired(any_queue: Queue) -> None:
    quick = Quick(any_queue)
    began = quick.job.job.started_at
    any_queue.connection.delete(*any_queue.connection.keys("rq:execution*"), quick.worker.executions_key)
    assert quick.finish() == short_path.DONE
    assert quick.status == b"finished"
    [result] = Job.fetch(quick.id, any_queue.connection).results()
    assert result.execution_started_at == began
    assert not any_queue.connection.exists(keys.held(NAME))


def test_a_success_that_is_not_ours_is_not_recorded(any_queue: Queue) -> None:
    quick = Quick(any_queue)
    any_queue.connection.delete(keys.held(NAME))
    before = everything(any_queue.connection)
    assert quick.finish() == short_path.NOT_OURS
    assert everything(any_queue.connection) == before


@pytest.mark.parametrize("again", AGAIN)
def test_a_success_is_not_recorded_of_another_job_that_was_pushed_with_the_id(
    any_queue: Queue, again: str
) -> None:
    quick = Quick(any_queue)
    Job.fetch(quick.id, any_queue.connection).delete()
    AGAIN[again](any_queue, quick.id)
    before = everything(any_queue.connection)
    assert quick.finish() == short_path.NOT_SIMPLE, "the long way forgets it"
    assert everything(any_queue.connection) == before


def test_a_job_that_was_deleted_while_it_ran_does_not_come_back(any_queue: Queue) -> None:
    quick = Quick(any_queue)
    Job.fetch(quick.id, any_queue.connection).delete()
    assert quick.finish() == short_path.NOT_OURS
    assert not any_queue.connection.exists(Job.key_for(quick.id), keys.held(NAME))


# -- before a job is begun -----------------------------------------------------------------------------


def reserve(queue: Queue) -> str:
    queue.enqueue(jobs.square, 3)
    return queue.connection.lmove(queue.key, queue.intermediate_queue_key).decode()  # type: ignore[no-any-return]


def hold(queue: Queue, job_id: str, worker: str = NAME, execution: str = "1") -> Any:
    """As a service does; what it may begin."""
    names = ["rq:suspended", keys.LEASES, keys.held(worker), queue.intermediate_queue_key, Job.key_for(job_id)]
    return Scripts(queue.connection).hold(names, [worker, job_id, execution, f"taken {queue.name}"])


def give_back(queue: Queue, job_id: str) -> bool:
    lists = [queue.key, queue.intermediate_queue_key, Job.key_for(job_id), f"rq:executions:{job_id}"]
    return bool(Scripts(queue.connection).give_back(lists, [job_id]))


def test_one_of_those_who_have_an_id_begins_it(any_queue: Queue) -> None:
    job_id = reserve(any_queue)
    assert hold(any_queue, job_id, "a")[0]
    assert hold(any_queue, job_id, "b") == [None]
    assert hold(any_queue, job_id, "a")[0], "said again, since no reply was heard"
    assert not give_back(any_queue, job_id), "who took it for stranded comes too late"
    assert any_queue.job_ids == any_queue.intermediate_queue.get_job_ids() == []
    assert any_queue.connection.hgetall(keys.held("a")) == {f"{job_id}:1".encode(): b"taken default"}
    assert any_queue.connection.zscore(keys.LEASES, "a") == 0


def test_what_was_given_back_is_not_begun(any_queue: Queue) -> None:
    job_id = reserve(any_queue)
    assert give_back(any_queue, job_id)
    assert hold(any_queue, job_id) == [None]
    assert any_queue.job_ids == [job_id]
    assert not any_queue.connection.exists(keys.held(NAME))


def test_what_is_gone_is_held_by_nobody(any_queue: Queue) -> None:
    job_id = reserve(any_queue)
    any_queue.connection.delete(Job.key_for(job_id))
    assert hold(any_queue, job_id) == [None]
    assert not any_queue.connection.exists(keys.held(NAME), any_queue.intermediate_queue_key)


@pytest.mark.parametrize("died", [True, False])
def test_who_dies_before_it_begins_what_it_holds_is_not_to_blame(any_queue: Queue, died: bool) -> None:
    job_id, other = reserve(any_queue), any_queue.enqueue(jobs.square, 4)
    hold(any_queue, job_id)
    back = recovery.recover(any_queue.connection, NAME) if died else recovery.hand_back(any_queue.connection, NAME)
    assert back == 1
    assert any_queue.job_ids == [job_id, other.id]
    job = Job.fetch(job_id, any_queue.connection)
    assert job.get_status() == JobStatus.QUEUED
    assert not any_queue.connection.hexists(job.key, keys.JOB_DEATHS)


def test_what_was_cancelled_before_it_was_begun_stays_so(any_queue: Queue) -> None:
    job_id = reserve(any_queue)
    hold(any_queue, job_id)
    Job.fetch(job_id, any_queue.connection).cancel()
    assert recovery.recover(any_queue.connection, NAME) == 0
    assert any_queue.job_ids == []
    assert Job.fetch(job_id, any_queue.connection).get_status() == JobStatus.CANCELED


# -- recovery ------------------------------------------------------------------------------------------


def test_all_that_a_dead_worker_held_is_found_though_rq_knows_nothing_of_it(any_queue: Queue) -> None:
    first, second = Begun(any_queue), Begun(any_queue)
    first.forget_in_rq()
    any_queue.connection.delete(*any_queue.connection.keys("rq:worker*"), *any_queue.connection.keys("rq:wip*"))
    assert recovery.recover(any_queue.connection, NAME) == 2
    assert {*any_queue.job_ids} == {first.id, second.id}
    assert not any_queue.connection.keys("taskq:held:*")
    assert recovery.recover(any_queue.connection, NAME) == 0


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("record", ["expired", "a late heartbeat's", "another type"])
def test_a_dead_worker_is_in_no_register_whatever_its_record_says(
    any_queue: Queue, registered: bool, record: str
) -> None:
    begun, connection = Begun(any_queue), any_queue.connection
    if registered:
        register(any_queue, NAME, any_queue.name)
    connection.delete(begun.worker.key)
    if record == "a late heartbeat's":
        connection.hset(begun.worker.key, "last_heartbeat", "now")
    elif record == "another type":
        connection.set(begun.worker.key, "x")
    assert recovery.recover(connection, NAME) == 1
    assert connection.keys("rq:workers*") == []
    assert connection.ttl(begun.worker.key) != -1


REGISTERED = {"finished": "finished", "failed": "failed", "stopped": "failed", "canceled": "canceled"}


@pytest.mark.parametrize("status", REGISTERED)
def test_a_job_that_others_have_ended_is_left_as_it_is(any_queue: Queue, status: str) -> None:
    begun = Begun(any_queue)
    any_queue.connection.hset(begun.job.key, "status", status)
    any_queue.connection.zadd(f"rq:{REGISTERED[status]}:{any_queue.name}", {begun.id: 1e12})
    before = begun.fields
    assert recovery.recover(any_queue.connection, NAME) == 0
    assert begun.fields == before
    assert any_queue.job_ids == []


@pytest.mark.parametrize("status", REGISTERED)
def test_one_that_only_says_so_runs_again(any_queue: Queue, status: str) -> None:
    """Somebody has saved an object of it that was read after an earlier run."""
    begun = Begun(any_queue)
    any_queue.connection.hset(begun.job.key, "status", status)
    assert recovery.recover(any_queue.connection, NAME) == 1
    assert any_queue.job_ids == [begun.id]


def test_what_is_no_entry_costs_nobody_anything(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    for field, value in (("x", "y"), (b"\xff:1", "begun default"), ("a:1", b"begun \xff"), ("a:1", "odd default"),
                         ("a:b:1", "begun default"), (":", "begun default")):  # fmt: skip
        any_queue.connection.hset(keys.held(NAME), field, value)
    assert [*holdings.read(any_queue.connection, NAME).values()] == [begun.holding]
    any_queue.connection.set(keys.held("odd"), "x")
    assert recovery.recover(any_queue.connection, "odd") == 0
    assert recovery.recover(any_queue.connection, NAME) == 1
    assert not any_queue.connection.keys("taskq:held:*")


def register(queue: Queue, name: str, *queues: str) -> None:
    info = ServiceInfo(name, "host", 1, 1, queues, "3", 0.0)
    services.renew(Scripts(queue.connection), info, -60.0)


@pytest.mark.parametrize(
    ("served", "holds", "ours"),
    [(("default", "low"), True, True), (("other",), True, False), (("other",), False, True), ((), True, True)],
)
def test_whom_a_service_takes_over_from(
    any_queue: Queue, served: tuple[str, ...], holds: bool, ours: bool
) -> None:
    """() is a worker that has told nothing of itself."""
    if served:
        register(any_queue, NAME, *served)
    if holds:
        Begun(any_queue)
    assert recovery.concerns(any_queue.connection, NAME, ("high", "default")) is ours


def test_what_a_worker_that_is_not_registered_was_fetching_is_found(any_queue: Queue) -> None:
    job = any_queue.enqueue(jobs.square, 3)
    any_queue.connection.lmove(any_queue.key, keys.fetched(NAME, any_queue.name))
    assert recovery.recover(any_queue.connection, NAME) == 1
    assert any_queue.job_ids == [job.id]


# -- RQ's registries -----------------------------------------------------------------------------------


def test_what_is_held_is_not_abandoned(any_queue: Queue) -> None:
    held, abandoned = Begun(any_queue), Begun(any_queue)
    any_queue.connection.hdel(keys.held(NAME), abandoned.holding.key)
    registry: StartedJobRegistry = any_queue.started_job_registry
    long_ago = clock.ask(any_queue.connection) - 1000
    any_queue.connection.zadd(registry.key, {held.holding.key: long_ago, abandoned.holding.key: long_ago})
    Begun(any_queue)  # which needs no vouching
    scores = dict(any_queue.connection.zrange(registry.key, 0, -1, withscores=True))
    holdings.vouch(any_queue.connection, registry.key, any_queue.name)
    registry.cleanup()
    assert [one.fields[b"status"] for one in (held, abandoned)] == [b"started", b"failed"]
    after = dict(any_queue.connection.zrange(registry.key, 0, -1, withscores=True))
    assert len(after) == 2
    assert all(after[member] >= scores[member] for member in after)


def test_nothing_that_has_ended_comes_into_the_registry(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    any_queue.connection.delete(any_queue.started_job_registry.key)
    holdings.vouch(any_queue.connection, any_queue.started_job_registry.key, any_queue.name)
    assert not any_queue.connection.exists(any_queue.started_job_registry.key)
    assert begun.worker.holds(begun.execution)


def test_a_stage_is_part_of_what_is_said(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    given = replace(begun.holding, stage=holdings.GIVEN)
    assert Scripts(any_queue.connection).begun([keys.held(NAME)], [given.key, given.value])
    assert [*holdings.read(any_queue.connection, NAME).values()] == [given]


# -- RQ's records --------------------------------------------------------------------------------------


def believing(*held: Begun) -> Any:
    """A service's state, as far as it beats for what it holds."""
    return SimpleNamespace(
        connection=held[0].connection, worker=held[0].worker, scripts=Scripts(held[0].connection), name=NAME,
        taken={Taken(*one.rq, one.fields): None for one in held}, unsure=False,
    )  # fmt: skip


def beat(*held: Begun) -> bool:
    """As a service that believes to hold these; whether it has found out that it does not hold all of them."""
    state = believing(*held)
    for _ in mirror.beats(state):
        pass
    return bool(state.unsure)


def mirrored(connection: Any) -> dict[bytes, Any]:
    """What RQ keeps of runs and workers, without the times, and the order by them."""
    found = everything(connection)
    for key, value in found.items():
        if isinstance(value, dict):
            found[key] = {field: one for field, one in value.items() if field not in (b"last_heartbeat", b"birth")}
        elif value and isinstance(value, list):
            found[key] = sorted(member for member, _score in value)
    return {key: value for key, value in found.items() if key.startswith(b"rq:")}


@pytest.mark.parametrize("portion", [1, 200])
def test_what_has_expired_of_rq_s_records_is_made_anew(
    any_queue: Queue, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_PORTION", portion)
    connection = any_queue.connection
    both = Begun(any_queue), Begun(any_queue)
    before = mirrored(connection)
    times = {key: connection.ttl(key) for key in before}
    connection.delete(*connection.keys("rq:execution*"), *connection.keys("rq:w*"))
    assert not beat(*both)
    assert mirrored(connection) == before
    assert {key for key in times if abs(connection.ttl(key) - times[key]) > 5} <= {both[0].worker.key.encode()}
    for one in both:
        found = Execution.fetch(one.execution.id, one.id, connection)
        assert found.created_at == one.execution.created_at
    now = clock.ask(connection)
    scores = connection.zrange(any_queue.started_job_registry.key, 0, -1, withscores=True)
    assert all(60 < score - now < 120 for _member, score in scores)


def test_what_ends_between_two_portions_is_not_missed(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_PORTION", 1)
    first, second = Begun(any_queue), Begun(any_queue)
    state = believing(first, second)
    beats = mirror.beats(state)
    next(beats)
    assert second.worker.succeed(*second.rq, 9)
    state.taken.popitem()
    assert list(beats) == [None]
    assert not state.unsure
    assert not any_queue.connection.exists(second.execution.key)


def test_nothing_is_made_of_what_is_not_held_any_more(any_queue: Queue) -> None:
    ours, theirs = Begun(any_queue), Begun(any_queue)
    assert recovery.return_job(any_queue.connection, NAME, theirs.holding)
    before = theirs.fields
    assert beat(ours, theirs), "it finds out"
    assert theirs.fields == before
    assert not any_queue.connection.exists(theirs.execution.key)
    assert any_queue.started_job_registry.get_job_ids() == [ours.id]


def test_what_the_index_has_lost_is_put_back(any_queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    begun, connection = Begun(any_queue), any_queue.connection
    connection.zadd(keys.LEASES, {NAME: clock.ask(connection) + 60})
    connection.delete(keys.held(NAME))
    assert not beat(begun)
    assert holdings.read(connection, NAME) == {begun.holding.key: begun.holding}
    assert f"job {begun.id} was not in {keys.held(NAME)} any more, and is again" in caplog.text
    assert begun.worker.succeed(*begun.rq, 9)
    assert begun.fields[b"status"] == b"finished"


def test_what_the_index_has_lost_goes_back_too(any_queue: Queue) -> None:
    quick, connection = Quick(any_queue), any_queue.connection
    connection.zadd(keys.LEASES, {NAME: clock.ask(connection) + 60})
    connection.delete(keys.held(NAME))
    quick.state.let_go = lambda _job: None
    short_path.give_back(quick.state, quick.job)
    assert quick.status == b"queued"
    assert any_queue.job_ids == [quick.id]
    assert not connection.exists(keys.held(NAME))


@pytest.mark.parametrize(
    "change",
    [
        lambda connection, _begun: connection.zadd(keys.LEASES, {NAME: 1.0}),
        lambda connection, _begun: connection.delete(keys.LEASES),
        lambda connection, begun: connection.delete(begun.execution.key),
        lambda connection, begun: connection.hset(begun.job.key, "status", "queued"),
        lambda connection, begun: connection.hset(begun.job.key, "worker_name", "other"),
        lambda connection, begun: connection.hset(begun.job.key, "created_at", LATER),
    ],
    ids=["lease over", "no lease", "ended", "waits again", "another's", "pushed again"],
)
def test_what_may_be_another_s_is_not_put_back(any_queue: Queue, change: Callable[[Any, Begun], object]) -> None:
    begun, connection = Begun(any_queue), any_queue.connection
    connection.zadd(keys.LEASES, {NAME: clock.ask(connection) + 60})
    state = believing(begun)
    connection.delete(keys.held(NAME))
    change(connection, begun)
    for _ in mirror.beats(state):
        pass
    assert state.unsure, "it finds out"
    assert not connection.exists(keys.held(NAME))


def test_what_was_taken_for_abandoned_while_we_were_away_is_not(any_queue: Queue) -> None:
    """Whoever looks into RQ's registry of running jobs cleans it, a dashboard too."""
    begun, registry = Begun(any_queue), any_queue.started_job_registry
    any_queue.connection.zadd(registry.key, {begun.holding.key: 1.0})
    assert registry.get_job_ids() == []
    assert any_queue.failed_job_registry.get_job_ids() == [begun.id]
    assert not beat(begun)
    assert any_queue.failed_job_registry.get_job_ids() == []
    assert registry.get_job_ids() == [begun.id]
    assert begun.fields[b"status"] == b"started"
    assert begun.worker.succeed(*begun.rq, 9)
    assert begun.fields[b"status"] == b"finished"
    assert 0 < any_queue.connection.ttl(begun.job.key) <= 500


def test_what_was_begun_since_the_index_was_read_goes_back_too(any_queue: Queue) -> None:
    """By a worker that was only asleep: neither would look after it."""
    begun = Begun(any_queue)
    assert recovery.return_job(any_queue.connection, NAME, replace(begun.holding, stage=holdings.TAKEN), died=LOST)
    assert any_queue.job_ids == [begun.id]
    assert begun.fields[b"status"] == b"queued"
    assert not any_queue.connection.exists(keys.held(NAME))


@pytest.mark.parametrize("changed", [{"worker_name": "other"}, {"created_at": LATER}, {"taskq": "map other"}])
def test_what_has_failed_under_its_id_since_is_another_s(any_queue: Queue, changed: dict[str, str]) -> None:
    """It was pushed again, run elsewhere, and is on record, while the former run is still held."""
    begun = Begun(any_queue)
    state = believing(begun)
    any_queue.connection.hset(begun.job.key, mapping={"status": "failed", **changed})
    assert list(mirror.beats(state)) == [None]
    assert begun.fields[b"status"] == b"failed"


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("end", [*ENDINGS, "succeed with others", "fail by hand"])
def test_the_end_of_a_plain_job_is_not_recorded_of_another_that_has_its_id(
    any_queue: Queue, end: str, again: str
) -> None:
    begun = Begun(any_queue, result_ttl=0 if end == "fail by hand" else None)
    Job.fetch(begun.id, any_queue.connection).delete()
    AGAIN[again](any_queue, begun.id)
    before = begun.fields
    if end == "succeed with others":
        assert successes.record(begun.worker, [(*begun.rq, 9)]) == {}
    elif end == "fail by hand":
        readable.fail(any_queue.connection, "default", begun.id, "why", begun.execution, NAME, begun.job.made)
    else:
        assert not ENDS[end](begun)
    assert begun.fields == before
    assert not any_queue.connection.exists(keys.held(NAME), f"rq:results:{begun.id}", begun.execution.key)
    assert begun.id not in any_queue.failed_job_registry.get_job_ids()


WRITTEN = ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "", None, "yesterday"]


def rewrite(begun: Begun | Quick) -> None:
    """As ``Job.save()`` does, by whoever has the job."""
    Job.fetch(begun.id, begun.connection).save()


def write_date(queue: Queue, date: str | None) -> str:
    """A job of a producer which does not write it as RQ does; its id."""
    job_id: str = queue.enqueue(jobs.square, 3).id
    if date is None:
        queue.connection.hdel(Job.key_for(job_id), "created_at")
    else:
        queue.connection.hset(Job.key_for(job_id), "created_at", date)
    return job_id


@pytest.mark.parametrize("date", WRITTEN[:-1])
@pytest.mark.parametrize("end", [*ENDINGS, "succeed with others"])
def test_an_end_is_recorded_however_its_time_was_written_and_is_now(
    any_queue: Queue, end: str, date: str | None
) -> None:
    begun = Begun(any_queue, write_date(any_queue, date))
    rewrite(begun)
    if end == "succeed with others":
        assert successes.record(begun.worker, [(*begun.rq, 9)]) == {}
    else:
        assert ENDS[end](begun)
    assert not begun.worker.holds(begun.execution)


@pytest.mark.parametrize("date", WRITTEN[:-1])
def test_so_is_a_success_on_the_short_path(any_queue: Queue, date: str | None) -> None:
    quick = Quick(any_queue, write_date(any_queue, date))
    rewrite(quick)
    assert quick.finish() == short_path.DONE
    assert quick.status == b"finished"


@pytest.mark.parametrize("made", WRITTEN)
@pytest.mark.parametrize("seen", WRITTEN)
def test_two_times_are_others_if_both_are_known(made: str | None, seen: str | None) -> None:
    known = WRITTEN[:2]
    one, other = (None if date is None else date.encode() for date in (made, seen))
    assert is_other(one or b"", other) == (made != seen and made in known and seen in known)
    assert not is_other(b"2026-01-02T03:04:05.678000Z", b"2026-01-02T03:04:05.678Z")


@pytest.mark.parametrize("kind", ["fails", "asks for it"])
def test_a_retry_that_waits_is_recorded_as_a_whole(any_queue: Queue, kind: str) -> None:
    """RQ says the status before the transaction: whoever died in between would leave a job that is nowhere."""
    begun = Begun(any_queue, retry=rq.Retry(max=2, interval=60))
    Job.fetch(begun.id, any_queue.connection).delete()
    any_queue.map(jobs.square, range(4), job_id=begun.id)
    before = begun.fields
    if kind == "fails":
        assert not ENDS["fail"](begun)
    else:
        outcome = JobOutcome(begun.job.serializer.dumps(None), retry=(2, [60], False))
        assert not begun.worker.retry(*begun.rq, outcome)
    assert begun.fields == before


def test_garbage_in_the_mark_of_a_plain_job_keeps_it_from_no_end(any_queue: Queue) -> None:
    quick = Quick(any_queue)
    any_queue.connection.hset(Job.key_for(quick.id), "taskq", "garbage")
    assert quick.finish() == short_path.NOT_SIMPLE
    assert successes.record(quick.worker, [(*quick.job.rq, 9)]) == {}
    assert quick.status == b"finished"


def test_of_a_job_whose_key_is_no_hash_it_is_said(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    any_queue.connection.delete(begun.job.key)
    any_queue.connection.set(begun.job.key, "text")
    assert begun.id in successes.record(begun.worker, [(*begun.rq, 9)])


@pytest.mark.parametrize("deleted", [False, True])
def test_who_waits_for_the_place_of_what_has_no_end_gets_it(any_queue: Queue, deleted: bool) -> None:
    limit = rq.RateLimit("one", 1)
    begun = Begun(any_queue, rate_limit=limit)
    waits = any_queue.enqueue(jobs.square, 4, rate_limit=limit)
    assert waits.get_status() == "rate_limited"
    if deleted:
        Job.fetch(begun.id, any_queue.connection).delete()
    else:
        any_queue.connection.delete(begun.job.key)
    assert not ENDS["succeed"](begun)
    assert waits.get_status() == JobStatus.QUEUED


@pytest.mark.parametrize("end", ENDINGS)
def test_a_job_whose_mark_was_changed_is_damaged(any_queue: Queue, end: str) -> None:
    """Else nobody would end it: it is begun, and what it was nobody can tell."""
    begun = Begun(any_queue, any_queue.map(jobs.square, range(3)).id)
    any_queue.connection.hset(begun.job.key, "taskq", "map")
    with pytest.raises(DamagedError, match=f"the field taskq of {begun.job.key} was changed: it is b'map'"):
        ENDS[end](begun)
    assert begun.worker.holds(begun.execution)


def test_a_job_that_was_deleted_does_not_come_back(any_queue: Queue) -> None:
    begun = Begun(any_queue)
    Job.fetch(begun.id, any_queue.connection).delete()
    assert not beat(begun)
    assert begun.fields == {}
