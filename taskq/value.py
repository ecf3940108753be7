"""A value in Redis: what ``multiprocessing.Manager().Value()`` is to the processes of one program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskq.payload import codec
from taskq.redis import once
from taskq.redis.named import Named
from taskq.redis.patience import clear_errors


class Value(Named):
    """One value of any kind, for all programs and jobs of one Redis.

        hits = queue.value("hits")
        hits.add(1)                      # atomic
        hits.value

    May be passed to jobs as an argument; there it connects to the worker's server when first used. As with a
    Manager's, ``hits.value += 1`` reads and then writes, and loses what others add in between: ``add`` does not.

    Args:
        key: The Redis key. It is there from the first time that the value is set, until ``clear``.
        connection: None: one that is shared by this process, to ``TASKQ_URL`` (in a job: the worker's).
        initial: What it is as long as nobody has set it.

    Raises:
        OptionError: If the connection is one that can't be used: see ``Queue``.

    Every access raises ``ServerError`` if the server can't be reached, or refuses; and ``SignatureError`` if there
    is a secret key, and what stands there is not signed for this value.
    """

    def __init__(self, key: str, connection: Any = None, initial: Any = 0) -> None:
        super().__init__(key, connection)
        self._initial = initial

    @property
    def value(self) -> Any:
        """What it is now."""
        return self.get()

    @value.setter
    def value(self, value: Any) -> None:
        self.set(value)

    @clear_errors
    def get(self) -> Any:
        """What it is now."""
        return self._read(self.connection)

    @clear_errors
    def set(self, value: Any) -> None:
        """Have it be this.

        Raises:
            PickleError: If it can't be pickled; nothing was changed.
        """
        self.connection.set(self.key, self._packed(value))

    @clear_errors
    def update(self, change: Callable[[Any], Any]) -> Any:
        """Change it, with nobody in between; returns what it is then.

        Args:
            change: Is given what it is, and returns what it is to be; called again if somebody else was quicker.

        Raises:
            PickleError: If that can't be pickled; nothing was changed.
            Exception: Whatever ``change`` raises; nothing was changed.
        """
        made: list[Any] = []

        def act(pipe: Any) -> None:
            made[:] = [change(self._read(pipe))]
            packed = self._packed(made[0])
            pipe.multi()
            pipe.set(self.key, packed)

        once.transaction(self.connection, act, self.key)
        return made[0]

    def add(self, amount: Any) -> Any:
        """Add to it, with nobody in between; returns the sum."""
        return self.update(lambda value: value + amount)

    @clear_errors
    def clear(self) -> None:
        """Have it be what it was before it was set, and the key be gone."""
        self.connection.delete(self.key)

    def _read(self, server: Any) -> Any:
        data = server.get(self.key)
        return self._initial if data is None else codec.at("value", self.key).loads(data)

    def _packed(self, value: Any) -> bytes:
        return codec.at("value", self.key).dumps(value, "the value")

    def __reduce__(self) -> tuple[Any, ...]:
        return Value, (self.key, None, self._initial)

    def __repr__(self) -> str:
        return f"<taskq.Value {self.key!r}>"
