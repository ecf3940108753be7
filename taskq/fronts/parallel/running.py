"""One ``Parallel`` at work: its session, which begins with the first call, and its large arguments."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from taskq.errors import MapCanceledError, TaskqError
from taskq.fronts import baggage
from taskq.fronts.asked import Callbacks
from taskq.fronts.awaited import Load
from taskq.fronts.call import Record
from taskq.fronts.parallel import item
from taskq.fronts.parallel.arguments import Arguments
from taskq.fronts.parallel.batch import Batch, Call, error_of
from taskq.fronts.place import Place
from taskq.fronts.session import PATIENCE, Session, Terms
from taskq.payload import codec

KIND = "Parallel"


@dataclass(frozen=True)
class Told:
    """What a ``Parallel`` is told, beyond where it runs.

    Args:
        shares: Whether large arguments travel once.
        initializer: As of ``Terms``.
        initargs: As of ``Terms``.
        patience: As of ``Terms``.
        options: As of ``Terms``.
    """

    shares: bool = True
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    patience: float | None = PATIENCE
    options: dict[str, Any] = field(default_factory=dict)


class Running:
    """Runs the batches of one ``Parallel``, until it is closed.

    Args:
        place: Where; it is closed with it.
        told: What it is told.
    """

    def __init__(self, place: Place, told: Told) -> None:
        self._place, self._told = place, told
        self._arguments = Arguments(place.queue.connection, place.queue.payload_limit, shares=told.shares)
        self._callbacks = Callbacks("taskq Parallel callbacks")
        self._session: Session | None = None

    def submit(self, calls: list[Call], nested: tuple[Any, Any], callback: Callable[[Batch], object] | None) -> Batch:
        """Have a batch of calls run.

        Args:
            calls: Each is an item.
            nested: Backend and number of jobs for a ``Parallel`` in a call.
            callback: Called with the batch when it is over.

        Raises:
            UnsendableError, PickleError, TooLargeError: If a call can't be sent; nothing of the batch was.
            BrokenFrontError, ServerError: If nothing can be run.
            OptionError: If an option is unknown or unusable.
        """
        batch, around = Batch(calls, callback, self._callbacks), pickle.dumps(nested, 5)
        items = [(*self._packed(one), around) for one in calls]
        self._opened().submit(Load(items, batch, 0, len(items)))
        return batch

    def _packed(self, one: Call) -> tuple[Record, bytes]:
        function, args, kwargs = one
        if baggage.is_plain(function):
            return baggage.packed(function), self._arguments.packed(function, args, kwargs)
        return baggage.packed(item.apply), self._arguments.packed(function, (function, *args), kwargs)

    def _opened(self) -> Session:
        if self._session is None:
            told, handles = self._told, self._arguments.handles
            terms = Terms(KIND, None, told.patience, told.initializer, told.initargs, told.options, at_exit=False, runs=item.run)
            if handles:
                terms = _announcing(terms, handles)
            self._session = Session(self._place, terms, error_of)
        return self._session

    def close(self) -> None:
        """All has ended."""
        if self._session is None:
            self._place.close()
        else:
            self._session.close()
        self._end()

    def abort(self) -> None:
        """Nobody wants the results any more: what runs is killed."""
        if self._session is None:
            self._place.close()
        else:
            self._session.terminate(MapCanceledError("the Parallel has ended early"))
        self._end()

    def _end(self) -> None:
        self._callbacks.close()
        with suppress(RedisError, OSError, TaskqError):  # it expires
            self._arguments.close()


def _announcing(terms: Terms, handles: tuple[item.Handle, ...]) -> Terms:
    """The same terms, which name these large objects: see ``item.ready``."""
    initargs = handles, terms.initializer, terms.initargs
    codec.dumps(initargs, "what an initializer gets")
    return Terms(
        terms.kind, terms.name, terms.patience, item.ready, initargs, terms.options, terms.at_exit, terms.runs
    )
