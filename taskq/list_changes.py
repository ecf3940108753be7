"""What changes a list in Redis elsewhere than at its end, as ``multiprocessing.Manager().list()`` can."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

from taskq.errors import OptionError
from taskq.payload.results import codec_of
from taskq.redis import once
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors

T = TypeVar("T")

_BATCH = 1000  # elements in one command


class ListChanges(Named):
    """For a list by name. A map's result list is not changed: it is part of what proves that the map is whole.

    Each change is one step, with nobody in between. What is not at an end of the list has all of it read, and
    written again. Nothing is unpickled, but by ``remove`` and ``sort``.
    """

    _place: tuple[str, ...]

    @clear_errors
    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            packed = self._packed(value)
            self._rewrite(lambda raw: raw.__setitem__(index, packed))
            return
        position, [data] = operator.index(index), self._packed([value])

        def act(pipe: Any) -> None:
            self._at(pipe, position)
            pipe.multi()
            pipe.lset(self.key, position, data)

        self._change(act)

    @clear_errors
    def __delitem__(self, index: int | slice) -> None:
        self._rewrite(lambda raw: raw.__delitem__(index))

    @clear_errors
    def pop(self, index: int = -1) -> Any:
        """Remove the element at a position, and return it.

        Raises:
            IndexError: If there is none.
        """
        position = operator.index(index)
        found: list[bytes] = []
        if position not in (0, -1):
            data = self._rewrite(lambda raw: raw.pop(position))
            return codec_of(*self._place).loads(data)

        def act(pipe: Any) -> None:
            found[:] = [self._at(pipe, position)]
            pipe.multi()
            (pipe.rpop if position else pipe.lpop)(self.key)

        self._change(act)
        return codec_of(*self._place).loads(found[0])

    @clear_errors
    def insert(self, index: int, value: Any) -> None:
        """Put a value before the element at a position.

        Raises:
            PickleError: If it can't be pickled; nothing was changed.
        """
        position, [data] = operator.index(index), self._packed([value])
        self._rewrite(lambda raw: raw.insert(position, data))

    @clear_errors
    def remove(self, value: Any) -> None:
        """Remove the first element that is equal to a value.

        Raises:
            ValueError: If there is none.
        """
        loads = codec_of(*self._place).loads

        def change(raw: list[bytes]) -> None:
            for position, data in enumerate(raw):
                if loads(data) == value:
                    del raw[position]
                    return
            raise ValueError(f"{value!r:.80} is not in {self.key}")

        self._rewrite(change)

    @clear_errors
    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sort it, as ``list.sort``; ``key`` may be called again if somebody else was quicker."""
        loads = codec_of(*self._place).loads
        of: Callable[[bytes], Any] = loads if key is None else lambda data: key(loads(data))
        self._rewrite(lambda raw: raw.sort(key=of, reverse=reverse))

    @clear_errors
    def reverse(self) -> None:
        """Turn it round."""
        self._rewrite(lambda raw: raw.reverse())

    @clear_errors
    def __imul__(self, times: int) -> Self:
        count = operator.index(times)
        self._rewrite(lambda raw: raw.__imul__(count))
        return self

    def _at(self, pipe: Any, position: int) -> bytes:
        data: bytes | None = pipe.lindex(self.key, position)
        if data is None:
            raise IndexError(f"index {position} is out of range of {self.key}")
        return data

    def _packed(self, values: Iterable[Any]) -> list[bytes]:
        self._check_free()
        writer = codec_of(*self._place)
        return [writer.dumps(value, "a value") for value in values]

    def _rewrite(self, change: Callable[[list[bytes]], T]) -> T:
        """Have all elements be what a change makes of them; returns what it returns."""
        made: list[T] = []

        def act(pipe: Any) -> None:
            raw = pipe.lrange(self.key, 0, -1)
            made[:] = [change(raw)]
            pipe.multi()
            pipe.delete(self.key)
            for start in range(0, len(raw), _BATCH):
                pipe.rpush(self.key, *raw[start : start + _BATCH])

        self._change(act)
        return made[0]

    def _change(self, act: Callable[[Any], None]) -> None:
        self._check_free()
        once.transaction(self.connection, act, self.key)

    def _check_free(self) -> None:
        """See that it is no map's.

        Raises:
            OptionError: If it is.
        """
        if len(self._place) > 1:
            raise OptionError(
                f"{self.key} is the result list of a map, which stays as the map has made it. Change a list of "
                "your own: list(results), or queue.result_list(name)"
            )
