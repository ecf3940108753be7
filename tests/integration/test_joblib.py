"""joblib's backend "taskq": ``Parallel`` on the workers of a queue."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import TimeoutError as LateError
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed

import taskq.joblib
from taskq import MapJob, OptionError, Queue, TooLargeError, UnsendableError, WorkerLostError
from taskq.fronts import place
from taskq.redis import keys
from tests import jobs
from tests.integration.fronts import left, working_queue
from tests.waiting import BRIEF, HANGS, wait_until


@pytest.fixture(scope="module")
def queue(server_url: str) -> Iterator[Queue]:
    with working_queue(server_url, "joblib") as queue:
        yield queue


@pytest.fixture
def config(queue: Queue) -> Iterator[Any]:
    with joblib.parallel_config("taskq", queue=queue, n_jobs=2) as config:
        yield config


def shared_on(queue: Queue) -> list[bytes]:
    return list(queue.connection.keys(keys.shared("*").replace("{", "[{]")))


def looks_at(table: Any, n: int) -> tuple[float, bool]:
    return float(table[n]), bool(table.flags.writeable)


def nested(n: int) -> tuple[str, list[int]]:
    inner = Parallel(n_jobs=2)
    return type(inner._backend).__name__, inner(delayed(jobs.square)(m) for m in range(n))


def asks_again(n: int) -> list[int]:
    """Names the backend in a call that runs on it."""
    return Parallel(n_jobs=2, backend="taskq")(delayed(jobs.square)(m) for m in range(n))


def initialized(value: int) -> None:
    os.environ["TASKQ_TEST_JOBLIB"] = str(value)


def environment(_n: int) -> str | None:
    return os.environ.get("TASKQ_TEST_JOBLIB")


def kills_itself(n: int, factor: int = 1) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * factor


def note(folder: str, n: int, fails: str = "") -> int:
    """Says that it has run."""
    with (Path(folder) / str(n)).open("a") as file:
        file.write("x")
    if fails and not Path(fails).exists():
        raise ValueError(n)
    return n * n


def times(folder: Path) -> list[int]:
    return [len((folder / str(n)).read_text()) for n in sorted(int(one.name) for one in folder.iterdir())]


# -- Parallel --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("config")
def test_results_in_order() -> None:
    assert Parallel()(delayed(jobs.square)(n) for n in range(30)) == [n * n for n in range(30)]
    assert Parallel(batch_size=4)(delayed(lambda n: n + 1)(n) for n in range(9)) == list(range(1, 10))
    assert Parallel()(iter([])) == []
    grown: list[int] = [0]
    assert Parallel()(delayed(grown.append)(n) for n in range(3)) == [None] * 3


@pytest.mark.usefixtures("config")
def test_generators() -> None:
    assert list(Parallel(return_as="generator")(delayed(jobs.square)(n) for n in range(9))) == [
        n * n for n in range(9)
    ]
    found = Parallel(return_as="generator_unordered")(delayed(jobs.square)(n) for n in range(9))
    assert sorted(found) == [n * n for n in range(9)]


@pytest.mark.usefixtures("config")
def test_a_managed_parallel_is_one_map(queue: Queue) -> None:
    before = set(left(queue))
    with Parallel() as parallel:
        for _ in range(2):
            assert parallel(delayed(jobs.square)(n) for n in range(4)) == [0, 1, 4, 9]
        assert len([one for one in left(queue) if one not in before and one.startswith(b"rq:job:")]) == 1
    wait_until(lambda: not set(left(queue)) - before)


@pytest.mark.usefixtures("config")
def test_one_begins_and_ends_within_the_block_of_another() -> None:
    """joblib gives all that begin in a ``parallel_config`` the same backend."""
    with Parallel() as outer:
        assert outer(delayed(jobs.square)(n) for n in range(3)) == [0, 1, 4]
        assert Parallel()(delayed(jobs.add)(n, 1) for n in range(3)) == [1, 2, 3]
        with pytest.raises(ZeroDivisionError):  # and so it is aborted
            Parallel()(delayed(jobs.invert)(n) for n in range(3))
        assert outer(delayed(jobs.square)(n) for n in range(4)) == [0, 1, 4, 9]


def test_two_threads_with_one_config(queue: Queue, tmp_path: Path) -> None:
    """Each has its own map; what ends the one is nothing to the other."""
    flag, began = tmp_path / "flag", tmp_path / "began"

    def waits() -> Any:
        with Parallel(backend=backend, n_jobs=2) as parallel:
            first = parallel([delayed(jobs.begin_and_wait)(str(began), str(flag))])
            return first + parallel([delayed(jobs.square)(3)])

    with joblib.parallel_config("taskq", queue=queue, n_jobs=2), ThreadPoolExecutor(1) as threads:
        backend, _ = joblib.parallel.get_active_backend()
        waiting = threads.submit(waits)
        wait_until(began.exists)
        with pytest.raises(ZeroDivisionError):
            Parallel(backend=backend, n_jobs=2)(delayed(jobs.invert)(n) for n in range(3))
        flag.touch()
        assert waiting.result(HANGS) == [str(flag), 9]


@pytest.mark.usefixtures("config")
def test_errors(tmp_path: Path) -> None:
    with Parallel() as parallel:
        with pytest.raises(ZeroDivisionError) as caught:
            parallel(delayed(jobs.invert)(n) for n in (1, 0, 2))
        assert "invert" in str(caught.value.__cause__)
        assert parallel(delayed(jobs.square)(n) for n in range(3)) == [0, 1, 4]
    with pytest.raises(KeyboardInterrupt):
        Parallel()(delayed(jobs.interrupt)(n) for n in range(3))
    with pytest.raises(UnsendableError, match="argument 0"):
        Parallel()(delayed(jobs.square)(n for n in ()) for _ in range(3))
    flag = str(tmp_path / "flag")
    with pytest.raises(LateError):
        Parallel(timeout=BRIEF)(delayed(jobs.wait_for)(flag) for _ in range(3))


@pytest.mark.usefixtures("config")
def test_a_call_that_kills_its_process_is_named() -> None:
    with pytest.raises(
        WorkerLostError, match=r"^kills_itself\(3, factor=2\) ends its process: item \d+ was given up"
    ):
        Parallel()(delayed(kills_itself)(n, factor=2) for n in range(6))


@pytest.mark.usefixtures("config")
def test_nesting() -> None:
    assert Parallel()(delayed(nested)(n) for n in (2, 3)) == [
        ("ThreadingBackend", [0, 1]),
        ("ThreadingBackend", [0, 1, 4]),
    ]
    assert Parallel()(delayed(asks_again)(n) for n in (2, 3)) == [[0, 1], [0, 1, 4]]


@pytest.mark.usefixtures("config")
def test_an_initializer(queue: Queue) -> None:
    calls = [delayed(environment)(n) for n in range(4)]
    assert Parallel(initializer=initialized, initargs=(7,))(calls) == ["7"] * 4
    with joblib.parallel_config("taskq", queue=queue, n_jobs=2, initializer=initialized, initargs=(8,)):
        assert Parallel()(calls) == ["8"] * 4


def test_how_many_jobs(queue: Queue) -> None:
    with joblib.parallel_config("taskq", queue=queue):
        assert [joblib.effective_n_jobs(n) for n in (-1, -2, 7, None)] == [2, 2, 7, 2]
        assert Parallel()._effective_n_jobs() == 2
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0, backend="taskq")([])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": 1}, "unknown option colour"),
        ({"resume": "a b"}, "resume must be a name"),
        ({"inner_max_num_threads": 1}, "inner_max_num_threads is for processes"),
        ({"patience": -1}, "patience must be"),
    ],
)
def test_options_that_are_none(queue: Queue, options: dict[str, Any], said: str) -> None:
    with joblib.parallel_config("taskq", queue=queue, n_jobs=2, **options), pytest.raises(OptionError, match=said):
        Parallel()(delayed(jobs.square)(n) for n in range(2))


def test_options_that_are_none_start_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    monkeypatch.setattr(place, "local", lambda *_, **__: pytest.fail("a server was started"))
    for options in ({"colour": 1}, {"item_timeout": -1}, {"initializer": 3}, {"payload_limit": 0}):
        with joblib.parallel_config("taskq", n_jobs=2, **options), pytest.raises(OptionError):
            Parallel()(delayed(jobs.square)(n) for n in range(2))


def test_processes_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take what a Manager has made here, as joblib's own do; and as much as they are told."""
    monkeypatch.delenv("TASKQ_URL", raising=False)
    with multiprocessing.Manager() as manager, joblib.parallel_config("taskq", n_jobs=2, payload_limit=10_000):
        shared = {"lock": manager.Lock(), "list": manager.list()}
        Parallel(max_nbytes=None)(delayed(jobs.note_in)(shared, n) for n in range(2))
        Parallel()(delayed(jobs.note_in)(shared, n) for n in range(2, 4))
        Parallel()(delayed(functools.partial(jobs.note_in, shared))(n) for n in range(4, 6))
        assert sorted(shared["list"]) == [*range(6)]
        with pytest.raises(TooLargeError, match="over the limit of 10,000"):
            Parallel()(delayed(len)("x" * 20_000) for _ in range(2))


# -- large arguments -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("config")
def test_a_large_array_travels_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    keep = taskq.maps.shared.keep
    monkeypatch.setattr(taskq.maps.shared, "keep", lambda value, *rest: sent.append(1) or keep(value, *rest))
    table = np.arange(300_000.0)
    assert Parallel()(delayed(looks_at)(table, n=n) for n in range(6)) == [(float(n), False) for n in range(6)]
    assert len(sent) == 1
    wait_until(lambda: not shared_on(queue))
    assert Parallel(max_nbytes=None)(delayed(looks_at)(table, n=n) for n in range(2)) == [(0.0, True), (1.0, True)]
    assert len(sent) == 1


@pytest.mark.usefixtures("config")
def test_arrays_that_nobody_has_any_more_are_deleted(queue: Queue) -> None:
    def tables() -> Iterator[Any]:
        for n in range(12):
            gc.collect()
            yield delayed(looks_at)(np.full(200_000, float(n)), 1)
            most.append(len(shared_on(queue)))

    most: list[int] = []
    found = Parallel(batch_size=1)(tables())
    assert found == [(float(n), False) for n in range(12)]
    assert 0 < max(most) < 10
    wait_until(lambda: not shared_on(queue))


# -- resume ----------------------------------------------------------------------------------------------


def test_what_has_a_result_is_not_run_again(queue: Queue, tmp_path: Path) -> None:
    with joblib.parallel_config("taskq", queue=queue, n_jobs=2, resume="again"):
        for count in (3, 6, 6):
            calls = (delayed(note)(str(tmp_path), n) for n in range(count))
            assert Parallel()(calls) == [n * n for n in range(count)]
    assert times(tmp_path) == [1] * 6
    wait_until(lambda: MapJob.fetch("again", connection=queue.connection).is_finished)


def test_it_goes_on_with_the_map_of_a_dead_program(queue: Queue, tmp_path: Path) -> None:
    """Of the first run, which dies with calls that have not ended, each call is waited for, and not run again."""
    flag, ran = tmp_path / "flag", tmp_path / "ran"
    ran.mkdir()
    calls = [
        delayed(note)(str(ran), 0),
        *(delayed(jobs.wait_for)(str(flag)) for _ in range(2)),
        delayed(note)(str(ran), 1),
    ]
    told: Any = {"backend": "taskq", "queue": queue, "n_jobs": 2, "resume": "dead", "return_as": "generator"}
    dead, later = (Parallel(**told, pre_dispatch="all", batch_size=1) for _ in range(2))
    results = dead(calls)
    assert next(results) == 0
    job = dead._backend._workers._session.job
    wait_until(lambda: job.store.info().items == 4)
    job.feed._over.set()  # it is silent from here on
    found = later(calls)
    assert next(found) == 0
    flag.touch()
    assert list(found) == [str(flag), str(flag), 1]
    assert job.store.info().items == 4
    assert list(results) == [str(flag), str(flag), 1]
    assert times(ran) == [1, 1]


def test_a_call_that_fails_costs_the_others_nothing(queue: Queue, tmp_path: Path) -> None:
    flag, ran = tmp_path / "flag", tmp_path / "ran"
    ran.mkdir()
    with joblib.parallel_config("taskq", queue=queue, n_jobs=2, resume="fails"):
        calls = [delayed(note)(str(ran), n, str(flag) if n == 2 else "") for n in range(4)]
        with pytest.raises(ValueError, match="2"):
            Parallel(batch_size=1)(calls)
        flag.touch()
        assert Parallel(batch_size=1)(calls) == [0, 1, 4, 9]
    assert times(ran) == [1, 1, 2, 1]


def test_what_can_not_be_resumed(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "RandomState in argument 0 of square has no seed"
    seedless = joblib.parallel_config("taskq", queue=queue, n_jobs=2, resume="seedless")
    with seedless, pytest.raises(OptionError, match=said):
        Parallel()(delayed(jobs.square)(np.random.RandomState()) for _ in range(3))
    monkeypatch.delenv("TASKQ_URL", raising=False)
    with (
        joblib.parallel_config("taskq", n_jobs=2, resume="nowhere"),
        pytest.raises(OptionError, match="needs a queue"),
    ):
        Parallel()(delayed(jobs.square)(n) for n in range(3))
    assert not queue.connection.exists(keys.memo("nowhere"))
