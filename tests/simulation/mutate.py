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

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Change:
    """In a file of the product, text in place of another, which is there once."""

    file: str
    old: str
    new: str

    def text(self) -> str:
        """The whole file, changed.

        Raises:
            LookupError: If there is no such text, or more than one.
        """
        before = (ROOT / self.file).read_text(encoding="utf-8")
        if before.count(self.old) != 1:
            raise LookupError(f"{self.file} has {before.count(self.old)} times, and not once: {self.old}")
        return before.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutation:
    """One way of being wrong.

    Args:
        name: What is wrong then.
        seed: Whose world shows it.
    """

    name: str
    seed: int
    changes: tuple[Change, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the product be so in the body."""
        with ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(_in_lua(change) if change.file.endswith(".lua") else _in_python(change))
            yield


@contextmanager
def _in_lua(change: Change) -> Iterator[None]:
    change.text()  # raises
    name, source = Path(change.file).stem, lua.source  # which others may have changed, too
    with patch.object(
        lua, "source", lambda one: source(one).replace(change.old, change.new) if one == name else source(one)
    ):
        story.names.cache_clear()
        yield
    story.names.cache_clear()


@contextmanager
def _in_python(change: Change) -> Iterator[None]:
    """Give each function that is changed its new code: whoever has imported it has the changed one then."""
    path = str(ROOT / change.file)
    before = _functions_in(compile((ROOT / change.file).read_text(encoding="utf-8"), path, "exec"))
    after = _functions_in(compile(change.text(), path, "exec"))
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
        raise LookupError(f"no function of {change.file} is changed by: {change.new}")
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
