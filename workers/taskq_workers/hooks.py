"""How the user's hooks are called, and which can't be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from taskq.errors import OptionError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_RUN_BY_NOBODY = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_anything: Any = None
_MANAGERS = (contextmanager(_anything).__code__, asynccontextmanager(_anything).__code__)
"""The code of all functions that these decorators have made."""


def takes_job(hook: Callable[..., Any]) -> bool:
    """Whether it is called with the job: it needs an argument, takes any number, or names its first one so.

    ``gc.collect`` and the ``remove`` of a session are called with nothing.
    """
    first = next(iter(_parameters(hook)), None)
    if first is None:
        return False
    needed = first.kind in _POSITIONAL and first.default is inspect.Parameter.empty
    return needed or first.kind is inspect.Parameter.VAR_POSITIONAL or first.name == "job"


def check(hook: Any, name: str) -> None:
    """See that it can be called as a hook.

    Raises:
        OptionError: If it can't be called, needs more than the job, or would do nothing by being called.
    """
    if not callable(hook):
        raise OptionError(f"the hook {name} can't be called")
    if any(one(hook) for one in _RUN_BY_NOBODY) or getattr(hook, "__code__", None) in _MANAGERS:
        raise OptionError(f"the hook {name} is a coroutine, a generator or a context manager: nobody would run it")
    needed = [one for one in _parameters(hook) if one.default is inspect.Parameter.empty
              and one.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)]  # fmt: skip
    if len(needed) > 1 or any(one.kind is inspect.Parameter.KEYWORD_ONLY for one in needed):
        raise OptionError(
            f"the hook {name} needs {', '.join(one.name for one in needed)}; it gets the job, or nothing"
        )


def _parameters(hook: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return [*inspect.signature(hook).parameters.values()]
    except ValueError:  # it is written in C, and does not say
        return []
