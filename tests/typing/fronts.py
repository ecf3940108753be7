"""What type checkers make of pools and executors; nothing here is run. See ``make types``."""

from __future__ import annotations

import concurrent.futures
from typing import Any, assert_type

from taskq import Executor, OpenMap, Pool, Queue, Retry
from taskq.fronts.attached import Attached


def halve(number: int) -> float:
    return number / 2


def tell(text: str, times: int = 1) -> str:
    return text * times


def prepared(path: str) -> None: ...


def pools(queue: Queue) -> None:
    with Pool(
        2, prepared, ("a",), 10, queue=queue, url=None, name="nightly", patience=None, payload_limit=None,
        item_timeout=3, weight=2, max_failures=0.1, item_retry=Retry(2), speculate=True, share=False, meta={},
        description="a pool", at_front=True, job_timeout="1h", result_ttl=60, failure_ttl=None, ttl="1d",
    ) as pool:  # fmt: skip
        assert_type(pool, Pool)
        assert_type(pool.apply(halve, (1,)), float)
        assert_type(pool.apply(tell, ("a",), {"times": 2}), str)
        assert_type(pool.apply_async(halve, [1], None, print, print).get(timeout=0), float)
        assert_type(pool.map(halve, [1], 3), list[float])
        mapped = pool.map_async(halve, [1], chunksize=None, callback=print, error_callback=print)
        assert_type(mapped.get(), list[float])
        assert_type(pool.starmap(tell, [("a", 1)]), list[str])
        assert_type(pool.starmap_async(tell, [("a", 1)], 2).get(), list[str])
        assert_type(next(pool.imap(halve, [1], 3, buffersize=10)), float)
        assert_type(next(pool.imap_unordered(halve, [1])), float)
        assert_type(pool.close(), None)
        assert_type(pool.join(), None)
        assert_type(pool.terminate(), None)
        pool.apply(halve, 1)  # type: ignore[arg-type]  # pyright: ignore
        pool.map(halve)  # type: ignore[call-arg]  # pyright: ignore
        pool.map(halve, [1], "3")  # type: ignore[arg-type]  # pyright: ignore
        pool.imap(halve, [1], None)  # type: ignore[arg-type]  # pyright: ignore
        pool.imap_unordered(halve, [1], buffersize="3")  # type: ignore[arg-type]  # pyright: ignore
    assert_type(Pool.attach("nightly", queue=queue), Attached)
    Pool.attach("nightly")  # type: ignore[call-arg]  # pyright: ignore


def wrong_pools(queue: Queue) -> None:
    Pool("2")  # type: ignore[arg-type]  # pyright: ignore
    Pool(initializer=3)  # type: ignore[arg-type]  # pyright: ignore
    Pool(queue="default")  # type: ignore[arg-type]  # pyright: ignore
    Pool(patience="30")  # type: ignore[arg-type]  # pyright: ignore
    Pool(queue=queue, item_retry=3)  # type: ignore[arg-type]  # pyright: ignore
    Pool(queue=queue, memo="a")  # type: ignore[call-arg]  # pyright: ignore
    Pool(queue=queue, first=3)  # type: ignore[call-arg]  # pyright: ignore


def executors(queue: Queue) -> None:
    with Executor(
        2, None, prepared, ("a",), max_tasks_per_child=10, queue=None, url="redis://", name=None, patience=3.5,
        payload_limit=1 << 20, item_timeout=3, weight=2, max_failures=3, item_retry=None, speculate=False,
        share=True, meta=None, description=None, at_front=False, job_timeout=60, result_ttl="1d", failure_ttl=60,
        ttl=None,
    ) as executor:  # fmt: skip
        assert_type(executor.submit(halve, 1).result(timeout=0), float)
        assert_type(executor.submit(tell, "a", times=2).result(), str)
        future: concurrent.futures.Future[str] = executor.submit(tell, "a")
        assert_type(future.cancel(), bool)
        assert_type(list(executor.map(halve, [1], timeout=0)), list[float])
        assert_type(executor.shutdown(wait=False, cancel_futures=True), None)
        executor.submit(halve, "a")  # type: ignore[arg-type]  # pyright: ignore
        executor.submit(halve)  # type: ignore[call-arg]  # pyright: ignore
        executor.submit(tell, "a", time=2)  # type: ignore[call-arg]  # pyright: ignore
        executor.shutdown(cancel_futures="all")  # type: ignore[arg-type]  # pyright: ignore
    plain: concurrent.futures.Executor = Executor(queue=queue)
    assert_type(plain.submit(halve, 1).result(), float)
    Executor("2")  # type: ignore[arg-type]  # pyright: ignore
    Executor(queue=queue, max_running=3)  # type: ignore[call-arg]  # pyright: ignore
    Executor(queue=queue, weight="2")  # type: ignore[arg-type]  # pyright: ignore


def jobs(pool: Pool, executor: Executor) -> None:
    assert_type(pool.job, OpenMap[Any, Any])
    assert_type(executor.job.pause(), None)
    pool.job.limits()  # type: ignore[attr-defined]  # pyright: ignore
