"""What type checkers make of maps; nothing here is run. See ``make types``.

Each checker has to find each error that a line here says it finds, and no other.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any, assert_type

from taskq import MapJob, OpenMap, Queue


def halve(number: int) -> float:
    return number / 2


def tell(text: str, times: int) -> str:
    return text * times


async def fetch(url: str) -> bytes:
    return url.encode()


def add(first: int, second: int, third: int) -> int:
    return first + second + third


def pair(number: int) -> tuple[str, int]:
    return str(number), number


def larger(first: float, second: float) -> float:
    return max(first, second)


def anything(value: Any, other: int = 1) -> Any:
    return value, other


def results(queue: Queue) -> None:
    job = queue.map(halve, range(3))
    assert_type(job, MapJob[float])
    assert_type(job.get(), list[float])
    assert_type(job.get(timeout=0, errors="raise"), list[float])
    assert_type(job.get(errors="return"), list[float | BaseException])
    assert_type(job.get(1.0, "return"), list[float | BaseException])
    assert_type(job[0], float)
    assert_type([value + 1 for value in job], list[float])
    assert_type(sorted(job), list[float])
    for value in job:
        assert_type(value, float)
    assert_type(list(job.in_order(3)), list[float])
    assert_type(next(job.as_completed(start=3, errors="return")), float | BaseException)
    assert_type(dict(job.results_by_index()), dict[int, float])
    assert_type(next(job.results_by_index(errors="return")), tuple[int, float | BaseException])
    assert_type(job.in_order().position, int)
    assert_type(len(job), int)
    job.in_order("3")  # type: ignore[call-overload]  # pyright: ignore
    job.get(errors="ignore")  # type: ignore[call-overload]  # pyright: ignore
    plain: MapJob = job
    assert_type(plain.get(), list[Any])


def functions(queue: Queue) -> None:
    assert_type(queue.map(fetch, ["a"]).get(), list[bytes])
    assert_type(queue.map(tell, ["a"], [1]).get(), list[str])
    assert_type(queue.map(add, [1], [2], [3]).get(), list[int])
    assert_type(queue.map(functools.partial(tell, times=3), ["a"]).get(), list[str])
    assert_type(queue.map(lambda n: n + 1, [1, 2]).get(), list[int])
    assert_type(queue.map(str, [1, 2]).get(), list[str])
    assert_type(queue.map(abs, [1, 2]).get(), list[int])
    assert_type(queue.map("tasks:f", [1], [2]).get(), list[Any])
    assert_type(queue.map(anything, [1]).get(), list[Any])
    queue.map(halve, ["a"])  # type: ignore[arg-type]  # pyright: ignore
    queue.map(fetch, [1])  # type: ignore[arg-type]  # pyright: ignore
    queue.map(halve, [1], [2])  # type: ignore[arg-type]  # pyright: ignore
    queue.map(tell, ["a"], ["b"])  # type: ignore[arg-type]  # pyright: ignore
    queue.map(halve, 3)  # type: ignore[call-overload]  # pyright: ignore


def stars(queue: Queue) -> None:
    assert_type(queue.starmap(tell, [("a", 1)]).get(), list[str])
    assert_type(queue.starmap(fetch, [["a"]], 3).get(), list[bytes])
    assert_type(queue.starmap("tasks:f", [("a", 1)]).get(), list[Any])
    queue.starmap(tell, [1, 2])  # type: ignore[arg-type, list-item]  # pyright: ignore


def chains(queue: Queue) -> None:
    job = queue.map(halve, range(3))
    assert_type(job.map(str), MapJob[str])
    assert_type(job.map(str).map(fetch).get(), list[bytes])
    assert_type(job.map("tasks:f", queue="gpu").get(), list[Any])
    assert_type(queue.map(pair, [1]).starmap(tell).get(), list[str])
    assert_type(job.reduce(operator.add).get(), float)
    assert_type(job.reduce(larger, initial=0.0, chunksize=10).get(), float)
    assert_type(job.reduce("operator:add").get(), Any)
    job.map(fetch)  # type: ignore[arg-type]  # pyright: ignore
    job.map(str, first=3)  # type: ignore[call-overload]  # pyright: ignore


def open_maps(queue: Queue) -> None:
    with queue.open_map(halve, buffersize=10, orphan="cancel") as job:
        assert_type(job, OpenMap[int, float])
        job.put(1)
        job.put_many(range(3))
        job.put("a")  # type: ignore[arg-type]  # pyright: ignore
        job.put_many(["a"])  # type: ignore[list-item]  # pyright: ignore
    assert_type(job.get(), list[float])
    assert_type(queue.open_map(fetch), OpenMap[str, bytes])
    assert_type(queue.open_map("tasks:f").get(), list[Any])
    starred = queue.open_map(tell, star=True)
    starred.put(("a", 1))
    assert_type(starred.get(), list[str])
    queue.open_map(halve, orphan="seal")  # type: ignore[call-overload]  # pyright: ignore
    queue.open_map(tell)  # type: ignore[arg-type]  # pyright: ignore


def lazy(queue: Queue) -> None:
    values = queue.imap(halve, iter([1]), buffersize=10)
    assert_type(next(values), float)
    iterator: Iterator[float] = values
    assert_type(list(iterator), list[float])
    assert_type(list(queue.imap_unordered(fetch, ["a"])), list[bytes])
    assert_type(list(queue.imap(tell, [("a", 1)], star=True)), list[str])
    assert_type(list(queue.imap("tasks:f", [1])), list[Any])
    queue.imap(halve, ["a"])  # type: ignore[arg-type]  # pyright: ignore


def options(queue: Queue) -> None:
    queue.map(halve, [1], chunksize=3, item_timeout=2.0, max_failures=0.1, job_id="nightly")
    queue.map(halve, [1], chunksize="3")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], weight="2")  # type: ignore[call-overload]  # pyright: ignore
    queue.map(halve, [1], chunk_size=3)  # type: ignore[call-overload]  # pyright: ignore
    queue.imap(halve, [1], job_timeout=3)  # type: ignore[call-overload]  # pyright: ignore
