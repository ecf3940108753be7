"""Kill anything at any moment: the map goes on where it was, and its list holds each result once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import rq

from taskq import MapJob, Queue
from taskq.redis import clock
from taskq.views import activity, timeline
from taskq_workers.settings import MAX_DEATHS
from tests import jobs, rq_jobs
from tests.acceptance.worker import Worker, Workers, alive, repeated, run, runs_in, runs_of
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """What the items wait for, until somebody was killed."""
    return tmp_path / "flag"


ITEMS = 200  # more than a service claims ahead


def push(queue: Queue, ledger: Path, flag: Path, *, processes: int = 2, chunksize: int = 1) -> MapJob:
    """A map whose first eight items are in the list, and so many processes each at one that waits."""
    items = [(str(ledger), n, str(flag) if n > 7 else "") for n in range(ITEMS)]
    job = queue.starmap(jobs.run_until, items, chunksize=chunksize)
    wait_until(lambda: job.progress.done >= 8 and len([n for n in runs_of(ledger) if n > 7]) == processes)
    return job


def check(job: MapJob, ledger: Path, flag: Path, *dying: int) -> None:
    """Every result once, every item at least once, and nothing of it left in anybody's books.

    The items go on when these processes are dead: a moment after their service's death, in which they could run
    what else they have been given.
    """
    wait_until(lambda: not any(alive(pid) for pid in dying), "no orphan is left")
    flag.touch()
    assert job.get(timeout=HANGS) == [n * n for n in range(ITEMS)]
    assert sorted(job.result_list) == [n * n for n in range(ITEMS)]
    assert set(runs_of(ledger)) == set(range(ITEMS))
    assert job.errors == {}
    connection = job.connection
    wait_until(lambda: not connection.keys("rq:execution*"), "no execution is left in RQ's books")
    assert connection.zcard("rq:wip:default") == 0
    assert connection.llen("rq:queue:default") == 0
    assert connection.llen("rq:queue:default:intermediate") == 0
    assert connection.hlen(job.store.keys.claims) == 0


def check_registers(queue: Queue, *workers: Worker) -> None:
    """RQ knows the live services, and no other."""

    def known() -> bool:
        names = {worker.name for worker in rq.Worker.all(queue.connection)}
        return names == {info.name for worker in workers for info in worker.infos}

    wait_until(known, "RQ's register holds the live services only")
    everyone = sum(worker.services for worker in workers)
    wait_until(lambda: queue.connection.zcard("taskq:leases") == everyone, "so does ours")
    assert queue.connection.hlen("taskq:services") == everyone


def in_flight(ledger: Path, pids: list[int]) -> set[int]:
    """What these processes did last."""
    return {runs_in(Path(f"{ledger}.{pid}"))[-1] for pid in pids if Path(f"{ledger}.{pid}").exists()}


def test_pool_process(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready()
    job = push(real_queue, ledger, flag, chunksize=2)
    victim = next(pid for pid in worker.pool_pids if runs_in(Path(f"{ledger}.{pid}")))
    os.kill(victim, signal.SIGKILL)
    check(job, ledger, flag)
    chunk = runs_in(Path(f"{ledger}.{victim}"))[-1] // 2
    assert {n // 2 for n in repeated(ledger)} <= {chunk}
    assert len(repeated(ledger)) <= 2
    wait_until(lambda: len(worker.pool_pids) == 2, "another has its place")
    assert victim not in worker.pool_pids


def test_forkserver(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready()
    job = push(real_queue, ledger, flag)
    [forkserver] = {psutil.Process(pid).ppid() for pid in worker.pool_pids}
    pids = worker.pool_pids
    os.kill(forkserver, signal.SIGKILL)
    check(job, ledger, flag, *pids)
    assert set(repeated(ledger)) <= in_flight(ledger, pids)
    wait_until(lambda: len(worker.service_pids) == 1)


def test_what_kills_the_forkserver_each_time_is_given_up_alone(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(processes=2)
    plain = [real_queue.enqueue(jobs.kill_parent, n, bad=20, seconds=0.05) for n in range(40)]
    mapped = real_queue.map(partial(jobs.kill_parent, bad=7, seconds=0.05), range(20))
    wait_until(lambda: all(job.get_status() in ("finished", "failed") for job in [*plain, mapped]))
    killer = plain.pop(20)
    assert f"{MAX_DEATHS} workers, one after the other, died" in (killer.latest_result().exc_string or "")
    assert [job.return_value() for job in plain] == [n for n in range(40) if n != 20]
    assert list(mapped.errors) == [7]
    assert sorted(mapped.result_list) == [n for n in range(20) if n != 7]
    check_registers(real_queue, worker)


@pytest.mark.parametrize("services", [1, 2])
def test_service(workers: Workers, real_queue: Queue, ledger: Path, flag: Path, services: int) -> None:
    worker = workers.ready(processes=2, services=services)
    job = push(real_queue, ledger, flag, processes=2 * services)
    owner = next(info for info in worker.infos if info.name == owner_of(job))
    os.kill(owner.pid, signal.SIGKILL)
    check(job, ledger, flag, *owner.pids)
    assert set(repeated(ledger)) <= in_flight(ledger, list(owner.pids))
    wait_until(lambda: len(worker.infos) == services)
    assert owner.pid not in worker.service_pids
    check_registers(real_queue, worker)


def test_a_killed_service_is_in_timeline_and_report(
    workers: Workers, real_queue: Queue, ledger: Path, flag: Path
) -> None:
    workers.ready(processes=2)
    job = push(real_queue, ledger, flag, processes=2)
    connection = real_queue.connection

    def waiting() -> set[int]:
        """The items at which processes are, as the service has said last."""
        chunks = (one.chunk for told in activity.live(connection) for one in told.processes)
        return {int(chunk.partition(":")[0]) for chunk in chunks if chunk}

    wait_until(lambda: len(waiting()) == 2 and min(waiting()) > 7)
    [told] = activity.live(connection)
    os.kill(told.pid, signal.SIGKILL)
    check(job, ledger, flag, *(one.pid for one in told.processes))
    entries = timeline.of_map(connection, job.id, 0, clock.ask(connection))
    lost = {(one.lane, one.pid, one.outcome) for one in entries if one.worker == told.name and one.outcome != "ok"}
    assert lost == {(one.lane, one.pid, "service") for one in told.processes}
    report = run("report", job.id, TASKQ_URL=workers.url)
    assert report.stdout.count("its service died") == 2


def test_helping_service(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    worker = workers.ready(processes=1, services=2)
    job = push(real_queue, ledger, flag)
    [helper] = [info for info in worker.infos if info.name != owner_of(job)]
    os.kill(helper.pid, signal.SIGKILL)
    check(job, ledger, flag, *helper.pids)
    assert set(repeated(ledger)) <= in_flight(ledger, list(helper.pids))
    wait_until(lambda: len(worker.infos) == 2)
    check_registers(real_queue, worker)


def test_service_whose_processes_are_in_c_code(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready()
    job = real_queue.map(jobs.sleep_in_c, [LONG, LONG], chunksize=1)
    plain = real_queue.enqueue(jobs.square, 3)
    wait_until(lambda: real_queue.connection.hlen(job.store.keys.claims) == 2)
    [service] = worker.infos
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in service.pids), "no orphan is left")
    wait_until(lambda: owner_of(job) not in ("", service.name), "the job is run again")
    assert plain.get_status() in ("queued", "started", "finished")
    check_registers(real_queue, worker)


def test_plain_job_of_a_killed_service_is_run_again(
    workers: Workers, real_queue: Queue, ledger: Path, flag: Path
) -> None:
    worker = workers.ready()
    job = real_queue.enqueue(jobs.run_until, str(ledger), 7, str(flag))
    wait_until(lambda: runs_of(ledger))
    [service] = worker.infos
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in service.pids))
    flag.touch()
    wait_until(lambda: job.return_value(refresh=True) == 49)
    assert runs_of(ledger) == [7, 7]
    assert len(job.results()) == 1
    check_registers(real_queue, worker)


def test_plain_job_that_takes_its_service_down_each_time_is_given_up(
    workers: Workers, real_queue: Queue, ledger: Path
) -> None:
    worker = workers.ready(processes=1)
    callback = rq.Callback(rq_jobs.note_abandoned)
    job = real_queue.enqueue(jobs.run_once, str(ledger), 7, LONG, on_failure=callback)
    behind = [real_queue.enqueue(jobs.square, n) for n in range(50)]
    for death in range(MAX_DEATHS):
        wait_until(lambda runs=death + 1: len(runs_of(ledger)) == runs)
        [service] = worker.infos
        os.kill(service.pid, signal.SIGKILL)
        wait_until(lambda pid=service.pid: all(info.pid != pid for info in worker.infos))
    wait_until(lambda: job.get_status() == "failed")
    wait_until(lambda: [one.return_value(refresh=True) for one in behind] == [n * n for n in range(50)])
    assert runs_of(ledger) == [7] * MAX_DEATHS
    assert f"{MAX_DEATHS} workers, one after the other, died" in (job.latest_result().exc_string or "")
    told, pid = (real_queue.connection.get(f"test:abandoned:{job.id}") or b"").decode().split()
    assert told == "AbandonedJobError"
    assert int(pid) in worker.pool_pids
    check_registers(real_queue, worker)


def test_plain_job_that_takes_the_whole_tree_down_each_time_is_given_up(
    workers: Workers, real_queue: Queue, ledger: Path
) -> None:
    job = real_queue.enqueue(jobs.run_once, str(ledger), 7, LONG)
    for death in range(MAX_DEATHS):
        worker = workers.ready(1, "--lease", "1")
        wait_until(lambda runs=death + 1: len(runs_of(ledger)) == runs)
        worker.kill_tree()
    last = workers.ready(1, "--lease", "1")
    wait_until(lambda: job.get_status() == "failed")
    assert runs_of(ledger) == [7] * MAX_DEATHS
    check_registers(real_queue, last)


def test_manager(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    first = workers.ready(services=2, processes=1)
    job = push(real_queue, ledger, flag)
    first.process.kill()
    first.wait_until_output("stops: finishes what runs", count=2)
    flag.touch()
    first.wait_until_gone()
    assert job.get_status() == "queued"
    assert 6 <= job.progress.done < ITEMS
    second = workers.ready()
    check(job, ledger, flag)
    assert repeated(ledger) == [], "the services have drained"
    check_registers(real_queue, second)


def test_whole_tree(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    first = workers.ready(2, "--lease", "2")
    job = push(real_queue, ledger, flag)
    pids = first.pool_pids
    first.kill_tree()
    assert job.get_status() == "started"
    second = workers.ready(2, "--lease", "2")
    check(job, ledger, flag)
    assert set(repeated(ledger)) <= in_flight(ledger, pids)
    check_registers(real_queue, second)


def test_stopped_for_longer_than_its_lease(workers: Workers, real_queue: Queue, ledger: Path, flag: Path) -> None:
    lease = "--lease", "5"  # seconds; one that is not stopped renews it in time, on the busiest machine
    late = workers.ready(2, *lease)
    job = push(real_queue, ledger, flag)
    late.freeze()
    flag.touch()
    before = job.progress.done
    other = workers.ready(2, *lease)
    wait_until(lambda: job.progress.done > before + 4, "the other took over")
    late.thaw()
    check(job, ledger, flag)
    assert len(repeated(ledger)) <= 4, "at most what was in flight, ready or queued"
    wait_until(lambda: len(late.infos) == 1, "it has registered again")
    check_registers(real_queue, late, other)
    assert other.stop() == 0
    further = real_queue.map(jobs.square, range(100))
    assert further.get(timeout=HANGS) == [n * n for n in range(100)]
    check_registers(real_queue, late)


def test_a_service_that_dies_again_and_again_holds_nobody_up(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(processes=1, services=2)
    killed: set[int] = set()

    def die() -> bool:
        for pid in {*worker.titled("service 0 [")} - killed:
            killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return "starts again in 0.4 s" in worker.output  # who was killed may be what a service was about to start

    wait_until(die)
    [other] = worker.titled("service 1 [")
    os.kill(other, signal.SIGKILL)
    wait_until(lambda: len({info.pid for info in worker.infos} - killed - {other}) == 2, "both work again")
    said = [line for line in worker.output.splitlines() if "service 1 died" in line]
    assert len(said) == 1
    assert "starts again in" not in said[0], "it is started at once"
    assert "Forking too fast" not in worker.output, "cotyledon has not slept, which holds all of them up"
    assert real_queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]


def owner_of(job: MapJob) -> str:
    """The name of the worker that runs the RQ job."""
    return (job.connection.hget(job.store.keys.hash, "owner") or b"").decode()
