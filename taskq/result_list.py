"""A Redis list as a Python sequence.

What ``multiprocessing.Manager().list()`` is to the processes of one machine, a ``ResultList`` is to all
producers and jobs of one Redis.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self, overload

from taskq.errors import ReplacedError
from taskq.list_changes import ListChanges
from taskq.payload.results import codec_of
from taskq.redis import once
from taskq.redis.keys import MapField
from taskq.redis.list_reader import ListReader
from taskq.redis.patience import clear_errors
from taskq.views import forms

_BATCH = 1000  # elements written in one round trip
_HUGE = 2**63  # positions that Redis can't even be asked for


class ResultList(ListChanges, Sequence[Any]):
    """A live view of a list in Redis; each element is one pickled value.

    Nothing is cached: each access asks the server, so elements that other processes append are seen at
    once, and two accesses may see different lengths. Appends are atomic and keep their order. One by name can be
    changed as a list is (``pop``, ``insert``, ``sort``, ``results[0] = 1``, ...), each time in one step, which
    costs as much as reading all of it, but at its ends; a map's is only appended to, or cleared. May be passed to
    jobs as an argument; there it connects to the worker's server when first used.

    Args:
        key: The Redis key.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).
        incarnation: Of the map, if it is a map's list.

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.

    Every access raises ``ServerError`` if the server can't be reached, or refuses; and of a map's list
    ``ReplacedError``, once its id was pushed again and there is another map's.

    Where there is a secret key, elements are signed for this list, and reading one that is not raises
    ``SignatureError``; that somebody has removed or repeated elements can't be seen.
    """

    def __init__(self, key: str, connection: Any = None, incarnation: str = "") -> None:
        super().__init__(key, connection)
        self._place = (key, incarnation) if incarnation else (key,)
        self._incarnation = incarnation

    def _say(self, command: Callable[[Any], object]) -> Any:
        """What the server says to a command, if there is no other map's list by now."""
        if not self._incarnation:
            return command(self.connection)
        with self.connection.pipeline(transaction=False) as pipe:
            command(pipe)
            pipe.hget(self.key.removesuffix(":results"), MapField.INCARNATION)
            reply, incarnation = pipe.execute()
        if incarnation is not None and incarnation != self._incarnation.encode():
            raise ReplacedError(f"{self.key} is another map's: the id of the map that is meant was pushed again")
        return reply

    def _check(self) -> None:
        if self._incarnation:
            self._say(lambda server: server.exists(self.key))

    @clear_errors
    def append(self, value: Any) -> None:
        """Add a value at the end.

        Raises:
            PickleError: If it can't be pickled; nothing was added.
        """
        self._push([codec_of(*self._place).dumps(value, "the value")])

    @clear_errors
    def extend(self, values: Iterable[Any]) -> None:
        """Add all values at the end, in order; in batches, so not as one atomic step.

        Raises:
            PickleError: If one can't be pickled; the batches before it were added.
        """
        iterator = (value for value in (list(self) if values is self else values))  # at its end it stays there
        writer = codec_of(*self._place)
        while batch := [writer.dumps(value, "a value") for value in islice(iterator, _BATCH)]:
            self._push(batch)

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.extend(values)
        return self

    def __add__(self, other: Iterable[Any]) -> list[Any]:
        return [*self, *other]

    def __mul__(self, times: int) -> list[Any]:
        return [*self] * times

    __rmul__ = __mul__

    def _push(self, batch: list[bytes]) -> None:
        self._check()
        with self.connection.pipeline() as pipe:
            pipe.rpush(self.key, *batch)
            once.execute(pipe)

    @clear_errors
    def clear(self) -> None:
        """Remove all elements, and with them the key."""
        self._check()
        self.connection.delete(self.key)

    @clear_errors
    def __len__(self) -> int:
        return int(self._say(lambda server: server.llen(self.key)))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    @clear_errors
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        position = operator.index(index)
        there = abs(position) < _HUGE
        data = self._say(lambda server: server.lindex(self.key, position)) if there else None
        if data is None:
            raise IndexError(f"index {index} is out of range of {self!r}")
        return codec_of(*self._place).loads(data)

    def _slice(self, wanted: slice) -> list[Any]:
        start, stop, step = wanted.indices(len(self))
        chosen = range(start, stop, step)
        if not chosen:
            return []
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        raw = self._say(lambda server: server.lrange(self.key, low, high))
        reader = codec_of(*self._place)
        return [reader.loads(raw[index - low]) for index in chosen if index - low < len(raw)]

    def __iter__(self) -> Iterator[Any]:
        """The elements in order, a batch in memory at a time; ends where the list ends when that is reached."""
        reader = codec_of(*self._place)
        for data in ListReader(self.connection, self.key, self._say).read():
            yield reader.loads(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultList, (self.key, None, *self._place[1:])

    def _repr_html_(self) -> str:
        """For a notebook: its first elements."""
        return forms.safely(self, lambda: forms.of_list(self.key, self[: forms.SHOWN], len(self)))

    def __repr__(self) -> str:
        count = len(self)
        return f"<ResultList {self.key!r} {count} item{'' if count == 1 else 's'}>"
