"""Proxies of multiprocessing's managers, and its locks: they work with workers of one's own, or are refused."""

from __future__ import annotations

import multiprocessing
import multiprocessing.managers
import pathlib
import stat
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taskq import Executor, Pool, Queue, UnsendableError, local, testing
from tests import jobs
from tests.waiting import HANGS


@pytest.fixture(scope="module")
def manager() -> Iterator[Any]:
    with multiprocessing.Manager() as manager:
        yield manager


def test_they_work_in_processes_of_ones_own(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQ_URL", raising=False)
    shared = {"lock": manager.Lock(), "list": manager.list()}
    with local(processes=1) as queue:
        [authkey] = pathlib.Path(queue.connection.connection_pool.connection_kwargs["path"]).parent.glob("authkey")
        assert stat.S_IMODE(authkey.stat().st_mode) == 0o600
        assert multiprocessing.current_process().authkey not in dump(queue)
        assert queue.starmap(jobs.note_in, [(shared, n) for n in range(3)]).get(HANGS) == [0, 1, 2]
        with queue.open_map(jobs.note_in, star=True) as job:
            job.put((shared, 3))
        assert job.get(HANGS) == [3]
        assert queue.enqueue(jobs.note_in, shared, 4).latest_result(timeout=HANGS).return_value == 4
        with Pool(queue=queue) as pool:
            assert pool.apply(jobs.note_in, (shared, 5)) == 5
        assert multiprocessing.current_process().authkey not in dump(queue)
    assert not authkey.exists()
    assert sorted(shared["list"]) == [0, 1, 2, 3, 4, 5]


def dump(queue: Queue) -> bytes:
    """All that stands on its server, about."""
    return b"".join(queue.connection.dump(key) or b"" for key in queue.connection.keys("*"))


def test_they_work_in_a_pool_of_taskq_testing(manager: Any) -> None:
    shared = {"lock": manager.Lock(), "list": manager.list()}
    with testing.Pool(1) as pool:
        assert pool.apply(jobs.note_in, (shared, 1)) == 1
    assert list(shared["list"]) == [1]


def holding(proxy: Any) -> dict[str, list[Any]]:
    return {"a": [1, SimpleNamespace(lock=proxy)]}


@pytest.mark.parametrize("kind", ["Lock", "list", "multiprocessing"])
def test_they_are_refused_elsewhere(fake_queue: Queue, manager: Any, kind: str) -> None:
    proxy = multiprocessing.Lock() if kind == "multiprocessing" else getattr(manager, kind)()
    says = r"a'\]\[1\]\.lock \(.*(q\.lock\(name\), q\.value\(name\), q\.result_list\(name\))"
    for push in (
        lambda item: fake_queue.map(jobs.echo, [1, item]),
        lambda item: fake_queue.starmap(jobs.add, [(1, item)]),
        lambda item: fake_queue.enqueue(jobs.echo, item),
    ):
        with pytest.raises(UnsendableError, match=says):
            push(holding(proxy))
    with fake_queue.open_map(jobs.echo) as job, pytest.raises(UnsendableError, match=says):
        job.put(holding(proxy))
    with Pool(queue=fake_queue) as pool, pytest.raises(UnsendableError, match=r"argument 0\[" + "'" + says):
        pool.apply(jobs.echo, (holding(proxy),))
    with Executor(queue=fake_queue) as executor:
        error = executor.submit(jobs.echo, value=holding(proxy)).exception(HANGS)
        assert isinstance(error, UnsendableError)
        assert "argument 'value'['a'][1].lock (" in str(error)
    assert not fake_queue.connection.keys("taskq:{*:bodies")


def test_a_proxy_of_a_manager_with_another_key_is_refused(manager: Any, fake_queue: Queue) -> None:
    fake_queue.own_workers = True
    kept: Any = manager.list()
    other = multiprocessing.managers.ListProxy(kept._token, "pickle", authkey=b"other", incref=False)
    with pytest.raises(UnsendableError):
        fake_queue.map(jobs.echo, [other])
    assert fake_queue.map(jobs.echo, [manager.list()]).id


def test_what_only_speaks_of_them_travels(fake_queue: Queue) -> None:
    text = pathlib.Path(multiprocessing.managers.__file__).read_text()
    assert "RebuildProxy" in text
    assert fake_queue.map(jobs.echo, [text, multiprocessing.managers.RebuildProxy]).id
