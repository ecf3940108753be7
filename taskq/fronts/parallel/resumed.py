"""``resume="name"``: calls that have results in a memo, or are being run by the map of a dead program.

a call ──key──> in the memo?            its result, at once
                in the adopted map?     its result, when that has ended
                else                    put into the map with its key: its result will be in the memo, too
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from taskq.errors import MapError, OptionError
from taskq.fronts.awaited import Ticket
from taskq.fronts.parallel.batch import Call
from taskq.fronts.parallel.known import Known
from taskq.fronts.terms import Terms
from taskq.maps import adopted, memo, opening
from taskq.maps import terms as of_maps
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MapOptions
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.queue import Queue
from taskq.redis import ids

_FORMAT = "1"
"""Of keys; other ones would not be found, and so the memo would be refused as that of another function."""


class Held:
    """An item of an adopted map, for which nobody waits yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._ticket: tuple[Ticket, int] | None = None

    def ended(self, _position: int, value: Any, error: BaseException | None) -> None:
        """As a ticket."""
        with self._lock:
            self._outcome = value, error
            waits = self._ticket
        if waits is not None:
            waits[0].ended(waits[1], value, error)

    def tell(self, ticket: Ticket, position: int) -> None:
        """Who is to be told of its end."""
        with self._lock:
            self._ticket = ticket, position
            outcome = self._outcome
        if outcome is not None:
            ticket.ended(position, *outcome)


class Resumed:
    """What is known of earlier runs with this name.

    Args:
        name: Of the memo, and of the map.
        queue: Where both are.

    Raises:
        OptionError: If the name can't be one, or is that of a memo of something else.
        ServerError: If the server can't be reached.
    """

    def __init__(self, name: Any, queue: Queue) -> None:
        if not isinstance(name, str) or not ids.read(name):
            raise OptionError(f"resume must be a name of letters, digits, _ and -, not {name!r:.80}")
        self.name, self._queue = name, queue
        self._known = Known()
        self._memo = memo.opened(name, queue.connection, "Parallel", _FORMAT, "", memo.TTL)

    def keys(self, calls: Sequence[Call]) -> list[str]:
        """Of some calls; raises as ``Known.key``."""
        return [self._known.key(call) for call in calls]

    def find(self, wanted: Sequence[str]) -> Iterator[tuple[bool, Any]]:
        """Of each key whether there is a result, and the result.

        Raises:
            SignatureError, DamagedError: If what stands there is not to be trusted, or can't be read.
        """
        for found in self._memo.find(wanted, memo.TTL):
            yield (False, None) if found is None else (True, codec.loads(found))

    def opened(self, terms: Terms) -> tuple[OpenMap, dict[int, Held], dict[str, Held]]:
        """The map of an earlier run that goes on, or a new one.

        Args:
            terms: Of the session.

        Returns:
            The map; its unfinished items by index, and by key.

        Raises:
            DuplicateJobError: If a job has the name that is nothing of the kind.
            OptionError, PickleError, ServerError, VersionError: As ``Queue.open_map``.
        """
        while (job := adopted.going_on(self._queue, self.name, self._memo)) is not None:
            if adopted.adopt(self._queue, job, self._memo):
                there = {key: (index, Held()) for key, index in adopted.unfinished(job).items()}
                return job, dict(there.values()), {key: held for key, (_index, held) in there.items()}
            with suppress(MapError):  # it gets no more items: what it still runs is wanted here, too
                job.wait()
        called = Function(terms.kind, codec.dumps(terms.runs), by_value=False)
        options = MapOptions.read({"job_id": self.name, **terms.options_of_map()})
        told = of_maps.Terms(orphan="finish")
        return opening.open_map(self._queue, called, None, told, options, star=True, memo=self._memo), {}, {}
