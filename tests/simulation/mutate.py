"""Makes the product wrong, in memory and for a while, to see that the simulation notices."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from unittest.mock import patch

from taskq.redis import lua
from tests.simulation import story
from tests.simulation.plan import Plan

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Change:
    """In a file of the product, text in place of another, which is there once."""

    file: str
    old: str
    new: str

    def text(self, before: str = "") -> str:
        """The whole file, changed.

        Args:
            before: What it is already; "": as it is on disk.

        Raises:
            LookupError: If there is no such text, or more than one.
        """
        before = before or (ROOT / self.file).read_text(encoding="utf-8")
        if before.count(self.old) != 1:
            raise LookupError(f"{self.file} has {before.count(self.old)} times, and not once: {self.old}")
        return before.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutation:
    """One way of being wrong.

    Args:
        name: What is wrong then.
        seed: Whose world shows it; of no use where there are ``worlds``.
        worlds: That are written for it: see ``written.py``.
    """

    name: str
    seed: int
    changes: tuple[Change, ...]
    worlds: tuple[Plan, ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the product be so in the body."""
        with ExitStack() as stack:
            for file in dict.fromkeys(one.file for one in self.changes):
                changes = [one for one in self.changes if one.file == file]
                stack.enter_context(_in_lua(file, changes) if file.endswith(".lua") else _in_python(file, changes))
            yield


def _changed(before: str, changes: list[Change]) -> str:
    for change in changes:
        before = change.text(before)
    return before


@contextmanager
def _in_lua(file: str, changes: list[Change]) -> Iterator[None]:
    name, source = Path(file).stem, lua.source  # which others may have changed, too
    changed = _changed(source(name), changes)
    with patch.object(lua, "source", lambda one: changed if one == name else source(one)):
        _read_again()
        yield
    _read_again()


def _read_again() -> None:
    lua.whole.cache_clear()
    story.names.cache_clear()


@contextmanager
def _in_python(file: str, changes: list[Change]) -> Iterator[None]:
    """Give each function that is changed its new code: whoever has imported it has the changed one then."""
    path, text = str(ROOT / file), (ROOT / file).read_text(encoding="utf-8")
    before = _functions_in(compile(text, path, "exec"))
    after = _functions_in(compile(_changed(text, changes), path, "exec"))
    changed = {name: code for name, code in after.items() if code != before.get(name)}
    frozen = gc.get_freeze_count()
    gc.unfreeze()  # what is frozen is not found
    found = [
        one
        for one in gc.get_objects()
        if isinstance(one, FunctionType) and one.__code__.co_filename == path and one.__qualname__ in changed
    ]
    if frozen:
        gc.freeze()
    if not found:
        raise LookupError(f"no function of {file} is changed by: {changes[-1].new}")
    own = [(one, one.__code__) for one in found]
    for one in found:
        one.__code__ = changed[one.__qualname__]
    try:
        yield
    finally:
        for one, code in own:
            one.__code__ = code


def _functions_in(code: CodeType) -> dict[str, CodeType]:
    """Those of the top level and of classes, by qualified name."""
    found = {}
    for one in code.co_consts:
        if isinstance(one, CodeType) and "<locals>" not in one.co_qualname:
            found[one.co_qualname] = one
            found |= _functions_in(one)
    return found
