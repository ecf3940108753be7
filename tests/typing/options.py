"""What type checkers make of options; nothing here is run. See ``make types``.

Each option of each method is here once as it may be, and as it may not be where its type tells that.
"""

from __future__ import annotations

import operator
from typing import Any, assert_type

import rq
from rq.callbacks import Callback

import taskq
from taskq import MapJob, OpenMap, Queue, Retry, Shared


def halve(number: int) -> float:
    return number / 2


def tell(text: str, times: int) -> str:
    return text * times


def named(number: int) -> str:
    return str(number)


def prepared(path: str) -> None: ...


def of_each_map(queue: Queue) -> None:
    job = queue.map(
        halve, [1], chunksize=None, item_timeout=2, weight=2.5, max_failures=3, item_retry=Retry(3),
        speculate=True, share=False, meta={"for": "us"}, description="halves", at_front=True, max_running=4,
        rate="5/s", job_timeout="1h", result_ttl=-1, failure_ttl=60.5, ttl=None, retry=rq.Retry(2),
        depends_on=["a"], on_success=named, on_failure=Callback(named), on_stopped=None, webhooks=None,
        unique=True, results="discard", initializer=prepared, initargs=("a",), first=3, job_id="nightly",
        if_exists="attach", memo="halves", key=named, memo_ttl=3600, memo_changed="forget",
    )  # fmt: skip
    assert_type(job, MapJob[float])
    assert_type(job.count(timeout=0, progress=True), int)
    queue.starmap(
        tell, [("a", 1)], item_timeout=None, max_failures=0.1, item_retry=None, meta=None, description=None,
        max_running=None, rate=None, job_timeout=3.5, result_ttl="1d", failure_ttl=None, ttl="1h", retry=None,
        initializer="tasks:prepared", initargs=["a"], first=None, job_id=None, if_exists="replace", memo=None,
        key=None, memo_ttl=None, memo_changed=None, results="keep",
    )  # fmt: skip
    queue.map("tasks:f", [1], [2], if_exists="raise", memo_changed="keep", key=tell)


def wrong_of_each_map(queue: Queue) -> None:
    queue.map(halve, [1], item_timeout="2")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], max_failures="3")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], item_retry=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], item_retry=rq.Retry(3))  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], speculate="yes")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], share=None)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], meta=["a"])  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], description=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], at_front="first")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], max_running=1.5)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], rate=5)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], job_timeout=[1])  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], result_ttl=b"1d")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], failure_ttl=())  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], ttl=())  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], retry=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], retry=Retry(3))  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], unique="yes")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], results="drop")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], initializer=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], initargs="a")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], first="3")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], job_id=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], if_exists="return")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], memo=True)  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], key=halve)  # type: ignore[arg-type]  # pyright: ignore
    queue.map(halve, [1], memo_ttl="1d")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], memo_changed="raise")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], buffersize=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.starmap(tell, [("a", 1)], star=True)  # type: ignore[call-overload]  # pyright: ignore


def of_open_maps(queue: Queue) -> None:
    job = queue.open_map(
        halve, star=False, job_id="fed", buffersize=None, orphan="finish", chunksize=3, first=2, results="keep",
        initializer=prepared, initargs=(), item_timeout=1.5, weight=1, max_failures=0, item_retry=Retry(1),
        speculate=False, share=True, meta={}, description="", at_front=False, max_running=1, rate="1000/h",
        job_timeout=-1, result_ttl=60, failure_ttl="1w", ttl=3, retry=rq.Retry(1), depends_on=None,
        on_success=None, on_failure=None, on_stopped=None, webhooks=None, unique=False,
    )  # fmt: skip
    assert_type(job, OpenMap[int, float])
    assert_type(job.accepted, int)
    assert_type(job.put(1), int)
    assert_type(job.put_many([1]), range)
    assert_type(job.seal(), None)
    queue.open_map(halve, buffersize="3")  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(halve, chunksize=1.5)  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(halve, memo="halves")  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(halve, if_exists="attach")  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(halve, [1])  # type: ignore[call-overload]  # pyright: ignore


def of_lazy_maps(queue: Queue) -> None:
    for imap in (queue.imap, queue.imap_unordered):
        values = imap(
            halve, [1], star=False, buffersize=10, chunksize=None, item_timeout=None, weight=0.5,
            max_failures=None, item_retry=Retry(2), speculate=True, share=False, meta=None, description="halves",
            at_front=True,
        )  # fmt: skip
        assert_type(next(values), float)
    queue.imap(halve, [1], buffersize=None)  # type: ignore[call-overload]  # pyright: ignore
    queue.imap(halve, [1], first=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.imap_unordered(halve, [1], max_running=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.imap_unordered(halve, [1], memo="a")  # type: ignore[call-overload]  # pyright: ignore
    queue.imap_unordered(halve, ["a"])  # type: ignore[arg-type]  # pyright: ignore
    queue.imap_unordered(tell, [1], star=True)  # type: ignore[call-overload]  # pyright: ignore


def of_chains(job: MapJob[float]) -> None:
    texts = job.map(
        str, queue="gpu", job_id="texts", chunksize=10, item_timeout=3, weight=1, max_failures=0.5,
        item_retry=Retry(1), speculate=True, share=True, meta={"a": 1}, description="texts", at_front=True,
        max_running=3, rate="3/m", job_timeout=60, result_ttl=60, failure_ttl=60, ttl=60, retry=rq.Retry(1),
        depends_on=None, on_success=named, on_failure=named, on_stopped=named, webhooks=None, unique=True,
        results="keep", initializer="tasks:prepared", initargs=(1,),
    )  # fmt: skip
    assert_type(texts, MapJob[str])
    assert_type(job.starmap(tell, queue=None, chunksize=None), MapJob[str])
    largest = job.reduce(max, initial=0.5, chunksize=2, queue="gpu", item_timeout=3)
    assert_type(largest.get(5.0, progress=True), float)
    job.map(str, queue=3)  # type: ignore[call-overload]  # pyright: ignore
    job.map(str, job_id=3)  # type: ignore[call-overload]  # pyright: ignore
    job.map(str, chunksize="3")  # type: ignore[call-overload]  # pyright: ignore
    job.map(str, memo="a")  # type: ignore[call-overload]  # pyright: ignore
    job.map(str, if_exists="attach")  # type: ignore[call-overload]  # pyright: ignore
    job.starmap(tell, key=named)  # type: ignore[call-overload]  # pyright: ignore
    job.reduce(operator.add, initial="a")  # type: ignore[call-overload]  # pyright: ignore
    job.reduce(operator.add, first=3)  # type: ignore[call-overload]  # pyright: ignore
    job.reduce(tell)  # type: ignore[arg-type]  # pyright: ignore


def of_retries() -> None:
    Retry(3)
    Retry(max=3, backoff=(1, 2.0, 60), jitter=0.5, on=(OSError, ValueError), not_on=FileNotFoundError)
    Retry(3, backoff=5, on=OSError, not_on=())
    Retry()  # type: ignore[call-arg]  # pyright: ignore
    Retry("3")  # type: ignore[arg-type]  # pyright: ignore
    Retry(3, backoff=(1.0, 2.0))  # type: ignore[arg-type]  # pyright: ignore
    Retry(3, jitter="0.5")  # type: ignore[arg-type]  # pyright: ignore
    Retry(3, on=OSError())  # type: ignore[arg-type]  # pyright: ignore
    Retry(3, not_on=["OSError"])  # type: ignore[arg-type]  # pyright: ignore
    Retry(3, interval=5)  # type: ignore[call-arg]  # pyright: ignore


def of_control(job: MapJob[float]) -> None:
    job.limit(max_running=3, rate="5/s")
    job.limit(max_running=None)
    job.limit(rate=None)
    assert_type(job.cancel_item(3), bool)
    assert_type(job.wait(3.0, progress=True), bool)
    assert_type(job.ready(), bool)
    job.limit(3)  # type: ignore[call-arg]  # pyright: ignore
    job.limit(max_running="3")  # type: ignore[arg-type]  # pyright: ignore
    job.limit(rate=5)  # type: ignore[arg-type]  # pyright: ignore
    job.limit(weight=2)  # type: ignore[call-arg]  # pyright: ignore
    job.cancel_item("3")  # type: ignore[arg-type]  # pyright: ignore
    job.wait("3")  # type: ignore[arg-type]  # pyright: ignore


def of_shared(queue: Queue, connection: Any) -> None:
    with queue.share([1], ttl=None) as shared:
        assert_type(shared, Shared[list[int]])
        assert_type(shared.value, list[int])
    assert_type(taskq.share("a", ttl=60, connection=connection), Shared[str])
    assert_type(shared.unshare(), bool)
    queue.share([1], ttl="1d")  # type: ignore[arg-type]  # pyright: ignore
    queue.share([1], connection=connection)  # type: ignore[call-arg]  # pyright: ignore
