"""What a process keeps of maps beside their functions: a dict for each, and whether it has been initialized.

A process runs items of several maps in turn, and what is meant for one is not to be seen by another. A map is
known here by its id and its incarnation; one that takes its id later finds nothing of it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from taskq.errors import UsageError
from taskq.maps import coroutines, forks
from taskq.maps.raised import refused
from taskq.maps.refusal import INITIALIZER
from taskq.payload.function import Function
from taskq.payload.outcome import ChunkRefused
from taskq.payload.prepared import PreparedFunction

Map = tuple[str, str]  # id and incarnation

_here: tuple[Remembered, Map] | None = None  # a process runs one thing at a time, in whatever threads


def state() -> dict[Any, Any]:
    """A dict that belongs to the map of which this is an item, or its initializer, in this process.

    It is empty at first, and the same one for all items of the map that this process runs: for a model that was
    loaded, a connection, a cache. Other maps have their own. It is emptied when the map has ended, also before it
    is tried again, or when another map has taken its id; what it held is freed then, if nobody else holds it.

    Not guaranteed: that it lasts. Each process has its own, and a process may be replaced at any time. What an
    initializer, or an item, keeps in globals instead stays until the process is replaced.

    Raises:
        UsageError: If no item of a map runs in this process, nor its initializer.
    """
    if _here is None:
        raise UsageError("taskq.state() is of a map: it can be asked for by its items and its initializer only")
    memory, one = _here
    return memory.of(one)


class Remembered:
    """The maps of one process."""

    def __init__(self) -> None:
        self._states: dict[Map, dict[Any, Any]] = {}
        self._ready: set[Map] = set()
        self._maps: dict[str, Map] = {}  # by the keys under which the process knows them; one may have two

    def of(self, one: Map) -> dict[Any, Any]:
        """The dict of a map."""
        return self._states.setdefault(one, {})

    def introduce(self, key: str, one: Map) -> None:
        """This is a map, until this key is forgotten."""
        self._maps[key] = one

    def forget(self, key: str) -> None:
        """This map is over."""
        one = self._maps.pop(key, None)
        if one is not None and one not in self._maps.values():
            self._empty(one)

    def _empty(self, one: Map) -> None:
        self._ready.discard(one)
        self._states.pop(one, {}).clear()  # also for whoever has kept it

    def has(self, one: Map) -> bool:
        """Whether there is anything of it that is worth to be kept."""
        return one in self._ready or one in self._states

    @contextmanager
    def at(self, one: Map) -> Iterator[None]:
        """For the length of the block code of this map is run."""
        global _here  # noqa: PLW0603 - a process has one
        before, _here = _here, (self, one)
        try:
            yield
        finally:
            _here = before

    def initialize(
        self,
        one: Map,
        function: Function,
        inside: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
        begins: Callable[[], object] | None = None,
        passing: tuple[type[BaseException], ...] = (),
    ) -> ChunkRefused | None:
        """Call the initializer of a map, if it has one that was not called here; to be called within ``at``.

        Args:
            one: The map.
            function: Its function.
            inside: As of ``run_chunk``.
            begins: Called before it.
            passing: Exceptions that are meant for the caller.

        Returns:
            What came of it, if it has failed; then nothing of it is kept.
        """
        if not isinstance(function, PreparedFunction) or one in self._ready:
            return None
        around = inside or _as_it_is
        if begins is not None:
            begins()
        try:
            coroutines.finished(forks.call(around(forks.call(around(function.load_initializer)))))
        except BaseException as error:
            self._empty(one)
            if isinstance(error, passing):
                raise
            outcome = refused(error, f"{INITIALIZER}{function.initializer.name} failed: ")
            return ChunkRefused(outcome.reason + _where(error), outcome.refusal, outcome.local)
        self._ready.add(one)
        return None


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f" ({last.filename}:{last.lineno} in {last.name})"
