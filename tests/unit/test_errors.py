"""One tree of errors, drawn where they are."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

import taskq
from taskq import errors

CLASSES = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind is not errors.RemoteTraceback]


def drawn() -> dict[str, str]:
    """Class -> parent, as the docstring draws them."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([│├└─ ]*)([A-Z]\w+(?:Error))\b", line)
        if match:
            depth, name = len(match[1]), match[2]
            path = [step for step in path if step[0] < depth]
            parents[name] = path[-1][1] if path else ""
            path.append((depth, name))
    return parents


def test_the_tree_is_drawn_as_it_is() -> None:
    actual = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}
    assert drawn() == {**actual, "TaskqError": ""}


@pytest.mark.parametrize("kind", CLASSES)
def test_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, taskq.TaskqError)


@pytest.mark.parametrize("kind", CLASSES)
def test_all_are_public(kind: type[Exception]) -> None:
    assert getattr(taskq, kind.__name__) is kind


@pytest.mark.parametrize("kind", CLASSES)
def test_each_is_documented_and_travels(kind: type[Exception]) -> None:
    assert kind.__doc__
    assert pickle.loads(pickle.dumps(kind("text"))).args == ("text",)


@pytest.mark.parametrize(
    ("kind", "builtin"), [(taskq.OptionError, ValueError), (taskq.WaitTimeoutError, TimeoutError)]
)
def test_some_are_builtin_ones_too(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_the_remote_traceback_shows_its_text() -> None:
    cause = errors.RemoteTraceback("Traceback: here")
    assert "Traceback: here" in str(cause)
    assert pickle.loads(pickle.dumps(cause)).text == "Traceback: here"
