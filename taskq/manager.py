"""``taskq.Manager``: lists, dictionaries, queues, ... as ``multiprocessing.Manager`` has them, on a server."""

from __future__ import annotations

import builtins
import functools
import os
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from taskq.dictionary import Dict
from taskq.errors import OptionError
from taskq.event import Event
from taskq.fifo import Fifo
from taskq.lock import Lock
from taskq.queue import Queue
from taskq.redis import keys
from taskq.redis.connection import connect, default_url, in_worker
from taskq.redis.named import Named
from taskq.redis.server import private_server
from taskq.result_list import ResultList
from taskq.value import Value


class Manager:
    """Makes what several processes share: a ``multiprocessing.Manager`` whose part a server plays.

        with taskq.Manager() as manager:             # was: multiprocessing.Manager()
            results = manager.list()

    What it makes may be passed to ``multiprocessing.Process``, to ``multiprocessing.Pool`` and to jobs. It has
    names that nobody else has drawn, and is gone when the manager ends; what is to stay is made by name, by
    ``queue.result_list``, ``queue.dict``, ``queue.queue``, ``queue.value``, ``queue.lock`` and ``queue.event``.

    Args:
        queue: On whose server. None: on that of ``url``, or of ``TASKQ_URL``; without any, on a private server,
            which ends with the manager.
        url: Of a server, instead of a queue.

    Raises:
        OptionError: If both are given, or one is unusable.
        ServerError: If there is no server program.

    Of a Manager's other types there are none.
    """

    def __init__(self, *, queue: Queue | None = None, url: str | None = None) -> None:
        if queue is not None and url is not None:
            raise OptionError("give either a queue or a url, not both")
        self._stack = ExitStack()
        self._private = ""
        if queue is None and url is None and not in_worker() and not os.environ.get("TASKQ_URL"):
            url = self._private = self._stack.enter_context(private_server())
        self._connection = queue.connection if queue is not None else connect(url or default_url())
        if queue is None:
            self._stack.callback(self._connection.close)
        self._made: builtins.list[str] = []

    def list(self, sequence: Iterable[Any] = ()) -> ResultList:
        """A list: see ``ResultList``. As text it is its elements, as a Manager's."""
        made = _List(self._key("list"), self._connection, url=self._private)
        made.extend(sequence)
        return made

    def Value(self, typecode: Any, value: Any) -> Value:  # noqa: N802 - multiprocessing's name
        """A value: see ``taskq.Value``.

        Args:
            typecode: Ignored, as a Manager does.
            value: What it is at first.
        """
        del typecode
        return _Value(self._key("value"), self._connection, value, url=self._private)

    def Lock(self) -> Lock:  # noqa: N802 - multiprocessing's name
        """A lock: see ``taskq.Lock``."""
        return _Lock(self._key("lock"), self._connection, url=self._private)

    def dict(self, *args: Any, **kwargs: Any) -> Dict:
        """A dictionary: see ``taskq.Dict``. As text it is its pairs.

        Args:
            args: What it has at first, as ``dict`` takes it.
            kwargs: The same.
        """
        made = _Dict(self._key("dict"), self._connection, url=self._private)
        made.update(*args, **kwargs)
        return made

    def Queue(self, maxsize: int = 0) -> Fifo:  # noqa: N802 - multiprocessing's name
        """A queue of items: see ``taskq.Fifo``.

        Args:
            maxsize: Items that it may hold; 0: any number.
        """
        return _Fifo(self._key("queue"), self._connection, maxsize, url=self._private)

    def Event(self) -> Event:  # noqa: N802 - multiprocessing's name
        """An event: see ``taskq.Event``."""
        return _Event(self._key("event"), self._connection, url=self._private)

    def _key(self, kind: str) -> str:
        key = keys.named(kind, os.urandom(16).hex())
        self._made.append(key)
        return key

    def shutdown(self) -> None:
        """Remove all that it has made."""
        if self._made and not self._private:
            self._connection.delete(*self._made)
        self._made.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.shutdown()


# A private server is no worker's: what is of one says where it is when it is pickled.


class _Made(Named):
    """Mixed in before the class of what was made; ``url``: of the private server, or ""."""

    def __init__(self, key: str, connection: Any, *args: Any, url: str = "") -> None:
        super().__init__(key, connection, *args)
        self._url = url

    def __reduce__(self) -> tuple[Any, ...]:
        told: tuple[Any, ...] = super().__reduce__()[1]  # type: ignore[assignment]  # as all of these say it
        return _again, (type(self), self._url, self.key, *told[2:])  # behind key and connection


class _List(_Made, ResultList):
    def __str__(self) -> str:
        return str([*self])


class _Value(_Made, Value):
    pass


class _Lock(_Made, Lock):
    pass


class _Dict(_Made, Dict):
    def __str__(self) -> str:
        return str(self.copy())


class _Fifo(_Made, Fifo):
    pass


class _Event(_Made, Event):
    pass


def _again(kind: Any, url: str, key: str, *args: Any) -> Any:
    """What arrived in another process; without a URL it is on the server that is that process's own."""
    return kind(key, _connected(url) if url else None, *args, url=url)


@functools.lru_cache(8)
def _connected(url: str) -> Any:
    return connect(url)
