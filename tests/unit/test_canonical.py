"""Bytes that are the same whenever the value is."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.payload import canonical
from tests.waiting import HANGS

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain = st.recursive(
    atoms, lambda one: st.lists(one) | st.tuples(one, one) | st.dictionaries(st.text(), one), max_leaves=8
)


def copied(value: Any) -> Any:
    """An equal value, no part of which is the same object."""
    if isinstance(value, list | tuple):
        return type(value)(map(copied, value))
    if isinstance(value, dict):
        return {copied(key): copied(one) for key, one in value.items()}
    return value[:1] + value[1:] if isinstance(value, str | bytes) else value


@settings(max_examples=30)
@given(plain)
def test_which_objects_are_the_same_does_not_matter(value: Any) -> None:
    assert canonical.is_plain(value)
    assert canonical.dumps([value, value]) == canonical.dumps([copied(value), value])


@settings(max_examples=30)
@given(plain, plain)
def test_what_differs_differs(one: Any, other: Any) -> None:
    assert (canonical.dumps(one) == canonical.dumps(other)) == (repr(one) == repr(other))


@pytest.mark.parametrize("value", [{1}, object(), SimpleNamespace(tags={"a"}), len, [[{2}]], bytearray(b"x")])
def test_what_is_not_plain(value: Any) -> None:
    assert not canonical.is_plain(value)


def test_what_holds_itself_is_not_plain_and_can_be_read() -> None:
    knot: list[Any] = []
    knot.append(knot)
    assert not canonical.is_plain(knot)
    assert canonical.dumps(knot)


def test_sets_of_texts_in_another_run() -> None:
    value = [SimpleNamespace(tags=set(map(str, range(50)))), frozenset("abcdef")]
    program = (
        "from types import SimpleNamespace; from taskq.payload import canonical\n"
        "print(canonical.dumps([SimpleNamespace(tags=set(map(str, range(50)))), frozenset('abcdef')]).hex())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=HANGS
    ).stdout
    assert said.strip() == canonical.dumps(value).hex()
