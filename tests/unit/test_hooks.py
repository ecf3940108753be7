"""How hooks are called, and which are refused."""

from __future__ import annotations

import functools
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from taskq import OptionError
from taskq_workers import hooks


class Given:
    def method(self) -> None: ...

    def with_job(self, job: Any) -> None: ...

    def __call__(self, job: Any) -> None: ...


def several(*jobs: Any) -> None: ...
def optional_job(job: Any = None) -> None: ...
def two(job: Any, other: Any) -> None: ...
def named(*, other: Any) -> None: ...
async def later(job: Any) -> None: ...
def yields(job: Any) -> Iterator[None]:
    yield


async def yields_later(job: Any) -> AsyncIterator[None]:
    yield


@contextmanager
def manages(job: Any) -> Iterator[None]:
    yield


WITH_JOB = [Given().with_job, Given(), several, optional_job, functools.partial(two, other=1), print]
WITH_NOTHING = [Given().method, gc.collect, random.seed, lambda: None]


@pytest.mark.parametrize("hook", WITH_JOB)
def test_called_with_the_job(hook: Callable[..., Any]) -> None:
    assert hooks.takes_job(hook)
    hooks.check(hook, "hook")


@pytest.mark.parametrize("hook", WITH_NOTHING)
def test_called_with_nothing(hook: Callable[..., Any]) -> None:
    assert not hooks.takes_job(hook)
    hooks.check(hook, "hook")


@pytest.mark.parametrize("hook", [two, named, later, yields, yields_later, manages, 7])
def test_refused(hook: Any) -> None:
    with pytest.raises(OptionError, match="the hook hook"):
        hooks.check(hook, "hook")
