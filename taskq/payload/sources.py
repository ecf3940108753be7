"""Source lines that travel with functions sent by value, so that a traceback of the worker's shows them.

A worker has no file of the producer's, or another one by the same name. So the code gets a name of its own there,
of the file's and what was in it when it was sent: ``</home/me/report.py#3f2a91c0>``. Under it ``linecache``, which
all tracebacks ask, and ``inspect`` find the lines of the functions that came. Line numbers are the file's.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from collections import OrderedDict
from typing import Any

UNKNOWN = "<dynamic-code>"  # cloudpickle's name for the file of all code
MOST = 1 << 18  # characters that travel with one function, its helpers included
KEPT = 200_000  # lines known at a time to a process that reads, those between functions counted
FILES = 64  # of which there are any

_kept: OrderedDict[str, list[str]] = OrderedDict()


class Sources:
    """Finds the lines of the functions in one pickle."""

    def __init__(self) -> None:
        self._names: dict[str, str | None] = {}
        self._room = MOST

    def name_of(self, filename: str) -> str | None:
        """Under which name the code of this file travels; None if there are no lines of it."""
        if filename not in self._names:
            self._names[filename] = _name(filename)
        return self._names[filename]

    def reduce(self, function: types.FunctionType, reduced: Any) -> Any:
        """What cloudpickle's reducer says of a function, with its lines if they are found, and there is room."""
        code = function.__code__
        name = self.name_of(code.co_filename)
        lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 : _last_line(code)] if name else []
        text = "".join(lines)
        if not text or len(text) > self._room:
            return reduced
        self._room -= len(text)
        make, args, state, _list, _dict, setter = reduced
        return make, args, (setter, state, name, code.co_firstlineno, text), None, None, fill


def _name(filename: str) -> str | None:
    if filename in _kept:
        return filename  # it came here by value itself
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    if not lines:
        return None
    digest = hashlib.sha256("".join(lines).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"<{filename.strip('<>')}#{digest}>"


def _last_line(code: types.CodeType) -> int:
    own = max((end or 0 for _start, end, _column, _end_column in code.co_positions()), default=0)
    return max([own, *(_last_line(one) for one in code.co_consts if isinstance(one, types.CodeType))])


def fill(function: types.FunctionType, state: Any) -> None:
    """Set what is in a function, while it is read, and make its lines known."""
    setter, state, name, first, text = state
    setter(function, state)
    know(name, first, text.splitlines(keepends=True))


def know(name: str, first: int, lines: list[str]) -> None:
    """Have ``linecache`` know these lines of a file; ``first``: the number of the first one, from 1."""
    end = first - 1 + len(lines)
    if not 1 <= first <= end <= KEPT:
        return
    known = _kept.setdefault(name, [])
    _kept.move_to_end(name)
    known.extend(["\n"] * (end - len(known)))
    known[first - 1 : end] = lines
    linecache.cache[name] = (sum(map(len, lines)), None, known, name)  # without a time: never looked for on disk
    while len(_kept) > FILES or (len(_kept) > 1 and sum(map(len, _kept.values())) > KEPT):
        linecache.cache.pop(_kept.popitem(last=False)[0], None)
