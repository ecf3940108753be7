"""Items whose call returns a coroutine."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from taskq.maps import coroutines
from tests.unit.running import run, values
from tests.waiting import LONG

pytestmark = pytest.mark.filterwarnings("error")


async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


class Call:
    async def __call__(self, a: int, b: int) -> int:
        return a + await double(b)


async def fail(n: int) -> int:
    await asyncio.sleep(0)
    if n == 1:
        raise ValueError(n)
    if n == 2:
        sys.exit(3)
    if n == 3:
        raise asyncio.CancelledError
    return n


def test_it_is_run_to_its_end() -> None:
    assert values(run(double, [1, 2, 3])) == [2, 4, 6]
    assert values(run(lambda n: double(n + 1), [1])) == [4]
    assert values(run(Call(), [(1, 2)], star=True)) == [5]


def test_an_item_that_fails_costs_only_itself() -> None:
    outcome = run(fail, range(5))
    assert values(outcome) == [0, 4]
    kinds = [failure.type for failure in outcome.failures]
    assert kinds == ["ValueError", "SystemExit", "asyncio.exceptions.CancelledError"]
    assert "raise ValueError(n)" in outcome.failures[0].traceback


ended: list[int] = []


async def sleep(n: int) -> int:
    try:
        await asyncio.sleep(LONG * n)
    finally:
        ended.append(n)
    return n


def test_a_time_limit_ends_it() -> None:
    ended.clear()
    outcome = run(sleep, [0, 1, 0], item_timeout=2.0)
    assert values(outcome) == [0, 0]
    assert [failure.type for failure in outcome.failures] == ["ItemTimeoutError"]
    assert ended == [0, 1, 0]  # it did not go on beside the next one


async def loop(_n: int) -> int:
    return id(asyncio.get_running_loop())


def test_all_items_have_one_loop() -> None:
    assert len({*values(run(loop, range(3))), *values(run(loop, range(3), item_timeout=LONG))}) == 1


left: list[Any] = []
seen: list[int] = []


async def later(n: int) -> None:
    await asyncio.sleep(0.01)
    seen.append(n)


async def leave(n: int) -> list[int]:
    left.append(asyncio.create_task(later(n)))
    if n:
        await left[0]
    return list(seen)


def test_what_an_item_leaves_running_goes_on_with_the_next() -> None:
    assert values(run(leave, [0, 1]))[1][0] == 0


def test_a_loop_that_job_code_has_closed_or_stopped() -> None:
    async def stop(_n: int) -> int:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(LONG)
        return 1

    assert run(stop, [1]).failures[0].type == "RuntimeError"
    assert values(run(double, [1])) == [2]
    coroutines._loop().close()
    assert values(run(double, [1])) == [2]


variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


async def read(n: int) -> int:
    before = variable.get()
    variable.set(n)
    return before


def test_it_has_the_context_of_its_call() -> None:
    variable.set(7)
    assert values(run(read, [1, 2])) == [7, 7]


class Compiled(Coroutine[Any, Any, int]):
    """As compiled ``async def`` functions return it: no coroutine of Python's own type."""

    def __init__(self, n: int) -> None:
        self._inner = double(n)

    def send(self, value: Any) -> Any:
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, int]:
        return self._inner.__await__()


@pytest.mark.parametrize("limit", [0.0, LONG])
def test_a_coroutine_of_another_type(limit: float) -> None:
    assert values(run(Compiled, [1, 2], item_timeout=limit)) == [2, 4]
    gc.collect()


async def current_job(_n: int) -> str:
    from rq import get_current_job

    job = get_current_job()
    assert job is not None
    return str(job.id)


async def run_a_program(n: int) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"print({n})", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.strip()
