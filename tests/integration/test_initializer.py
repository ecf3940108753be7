"""``initializer``: called once in each process before its first item of a map; and ``taskq.state``."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rq.job import JobStatus

import taskq
from taskq import MapFailedError, MapJob, OptionError, PickleError, Queue, UsageError
from taskq.maps.remembered import Remembered
from taskq.maps.store import MapStore
from taskq.payload.prepared import PreparedFunction
from taskq.redis import keys, schema
from taskq.redis.keys import MapKeys
from taskq.testing import drain, running_worker
from taskq_workers.link.flight import CHUNK, JOB, Flown
from taskq_workers.service.jobs import kept
from taskq_workers.service.upkeep import recovery
from taskq_workers.service.upkeep.evidence import Evidence
from taskq_workers.settings import MAX_SPARED
from tests import jobs
from tests.contract.by_hand import A, claim, pending
from tests.waiting import HANGS, wait_until


def pushed(queue: Queue, name: str, **options: Any) -> MapJob[tuple[str, int, int]]:
    return queue.map(
        jobs.ask_model, range(12), chunksize=1, initializer=jobs.load_model, initargs=(name,), **options
    )


def test_once_in_each_process_and_each_map_has_its_own_state(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 2) as state:
        first, second = pushed(fake_queue, "a"), pushed(fake_queue, "b", weight=2)
        plain = fake_queue.map(jobs.ask_model, range(12), chunksize=1)
        for job, found in ((first, ("a", 1)), (second, ("b", 1)), (plain, ("", 0))):
            results = job.get(timeout=HANGS)
            assert {one[:2] for one in results} == {found}
        assert len({pid for *_found, pid in first.get() + second.get() + plain.get()}) == 2
        again = pushed(fake_queue, "c", job_id=first.id)  # in the place of the first
        assert {one[:2] for one in again.get(timeout=HANGS)} == {("c", 1)}
        wait_until(lambda: not state.maps)
        left = fake_queue.map(jobs.ask_memory, range(8), chunksize=1).get(timeout=HANGS)
        assert left == [[0, 0, 1]] * 8, "all of the others was forgotten when they had ended"


@pytest.mark.parametrize("runs", ["service", "stock"])
def test_one_that_fails_fails_the_map_with_its_error(fake_queue: Queue, runs: str) -> None:
    job = fake_queue.map(jobs.square, range(20), initializer="tests.jobs.fail_to_load", initargs=("x",))
    if runs == "stock":
        drain(fake_queue)
    else:
        with running_worker(fake_queue):
            wait_until(job.ready)
    with pytest.raises(MapFailedError, match=r"fail_to_load failed: LookupError: .*no model x.*jobs\.py:"):
        job.get(timeout=HANGS)
    assert job.get_status() == JobStatus.FAILED
    info = job.store.info()
    assert (info.done, info.failed, info.items) == (0, 0, 20)
    if runs == "service":
        assert "can begin this map" in info.reason


def test_one_that_kills_its_process_costs_no_item(fake_queue: Queue, tmp_path: Path) -> None:
    with running_worker(fake_queue, 1):
        job = fake_queue.map(jobs.square, range(4), chunksize=1, initializer=jobs.die_loading)
        once = fake_queue.map(
            jobs.square, range(4), chunksize=4, initializer=jobs.die_loading, initargs=[str(tmp_path / "flag")]
        )
        with pytest.raises(MapFailedError, match="die_loading has killed 3 processes here, the last one by SIG"):
            job.get(timeout=HANGS)
        assert job.store.info().failed == 0
        assert {entry.split()[1] for entry in pending(job.store) if " " in entry} == {"0"}, "no item is to blame"
        assert once.get(timeout=HANGS) == [0, 1, 4, 9], "once is not too often"


def test_its_time_is_no_items(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 1):
        job = fake_queue.map(jobs.square, [3], item_timeout=0.1, initializer=jobs.load_slowly, initargs=(1.3,))
        assert job.get(timeout=HANGS) == [9]


def test_in_a_stock_worker(fake_queue: Queue) -> None:
    first, second = pushed(fake_queue, "a"), pushed(fake_queue, "b")
    drain(fake_queue)
    assert {one[:2] for one in first.get()} == {("a", 1)}
    assert {one[:2] for one in second.get()} == {("b", 1)}
    with pytest.raises(UsageError, match="items and its initializer"):
        taskq.state()


def test_of_an_open_map(fake_queue: Queue) -> None:
    with running_worker(fake_queue, 1):
        with fake_queue.open_map(jobs.ask_model, initializer=jobs.load_model, initargs=("a",)) as job:
            job.put_many(range(3))
        assert {one[:2] for one in job.get(timeout=HANGS)} == {("a", 1)}


SCRIPT = """
def load(n):
    global model
    model = n

def ask(n):
    return model + n
"""


@pytest.mark.parametrize("loaded", [False, True])
def test_those_of_a_script_have_the_same_globals(loaded: bool) -> None:
    """As a ``Pool``'s have; ``loaded``: they are sent on from where they were loaded."""
    scope: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(SCRIPT, scope)  # noqa: S102 - as in a shell
    function: PreparedFunction = pickle.loads(
        pickle.dumps(PreparedFunction.prepare(scope["ask"], scope["load"], (40,)))
    )
    if loaded:
        function.load()
        function.code = b""
        function = pickle.loads(pickle.dumps(function))
    function.load_initializer()()
    assert function.load()(2) == 42
    assert "model" not in scope
    assert (function.name, function.initializer.name) == ("ask", "load")


@pytest.mark.parametrize(
    ("services", "beside"), [(1, False), (3, False), (MAX_SPARED - 1, True), (MAX_SPARED, True)]
)
def test_services_that_die_in_it_blame_no_item(fake_queue: Queue, services: int, beside: bool) -> None:
    """Nor the initializer, as long as others ran as well."""
    job, another = pushed(fake_queue, "a"), Flown(JOB, "another", "execution", "", None)
    for _ in range(services):
        job.store.open(A)
        [held] = claim(job.store)
        fake_queue.connection.hset(keys.held(A), f"{job.id}:guest-{job.incarnation}", "begun default")
        ran = Flown(CHUNK, job.id, job.incarnation, str(held.range), None, 0, initializing=True)
        recovery.recover(
            fake_queue.connection, A, Evidence("SIGKILL", "host", (ran, another) if beside else (ran,))
        )
    assert pending(job.store)[0] == "0:1 0 0:1"
    with running_worker(fake_queue, 1):
        if services in (1, MAX_SPARED - 1):
            assert len(job.get(timeout=HANGS)) == 12
        else:
            said = f"has taken {services} services down, the last one by SIGKILL on host"
            with pytest.raises(MapFailedError, match=said):
                job.get(timeout=HANGS)


@pytest.mark.parametrize("remembers", [True, False], ids=["it has told", "it runs, and may have an initializer"])
def test_what_a_guest_has_left_is_kept_until_the_map_is_over(fake_queue: Queue, remembers: bool) -> None:
    job, forgotten = pushed(fake_queue, "a"), []
    job.store.open(A)
    lanes = SimpleNamespace(forget=lambda key, *, at_once: forgotten.append((key, at_once)))
    state = cast("Any", SimpleNamespace(connection=fake_queue.connection, lanes=lanes, kept={}))
    store = MapStore(job.id, fake_queue.connection, incarnation=job.incarnation)
    run = cast(
        "Any",
        SimpleNamespace(key="a key", remembers=remembers, flying={} if remembers else {7: None}, store=store),
    )
    kept.keep(state, run)
    kept.look(state, {(job.id, job.incarnation)})
    kept.look(state, {})
    assert not forgotten
    other = MapKeys(job.id, "0" * 32)
    state.kept["another"] = other
    kept.look(state, {})
    assert forgotten == [("another", True)]
    job.store.close("over")
    kept.look(state, {})
    assert forgotten[1:] == [("a key", True)]
    assert not state.kept


def test_what_one_has_is_gone_with_its_last_key() -> None:
    here, one = Remembered(), ("id", "incarnation")
    here.introduce("guest", one)
    here.introduce("owner", one)
    with here.at(one):
        taskq.state()["x"] = 1
        kept_by_somebody = taskq.state()
    here.forget("guest")
    assert here.has(one)
    here.forget("owner")
    assert not here.has(one)
    assert kept_by_somebody == {}


def test_what_it_cannot_be(fake_queue: Queue) -> None:
    for options in ({"initializer": 17}, {"initargs": (1,)}, {"initializer": jobs.square, "initargs": "text"}):
        with pytest.raises(OptionError, match=r"initializer|initargs"):
            fake_queue.map(jobs.square, [1], **cast("Any", options))
    with pytest.raises(PickleError):
        fake_queue.map(jobs.square, [1], initializer=jobs.square, initargs=((i for i in range(3)),))
    with pytest.raises(OptionError, match="initializer"):
        next(fake_queue.imap(jobs.square, [1], initializer=jobs.square))  # type: ignore[call-arg]
    assert fake_queue.connection.keys("taskq:{*") == []


def test_who_does_not_know_it_keeps_away(fake_queue: Queue) -> None:
    job = pushed(fake_queue, "a")
    assert job.schema == schema.TERMS
    assert job.store.info().terms.named == {"initializer": "load_model", "initargs": 1}


def test_who_attaches_must_mean_the_same_initializer(fake_queue: Queue) -> None:
    told: dict[str, Any] = {"job_id": "one", "if_exists": "attach"}
    first = pushed(fake_queue, "a", **told)
    assert pushed(fake_queue, "a", **told).incarnation == first.incarnation
    with pytest.raises(OptionError, match="the code of its function"):
        pushed(fake_queue, "b", **told)
    with pytest.raises(OptionError, match="initializer"):
        fake_queue.map(jobs.ask_model, range(12), chunksize=1, **told)
