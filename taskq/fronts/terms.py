"""What a front is told of the map behind it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskq.errors import OptionError
from taskq.fronts import call
from taskq.fronts.keywords import FrontKeywords
from taskq.fronts.place import Place
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MapOptions
from taskq.payload import codec
from taskq.payload.function import Function
from taskq.payload.prepared import PreparedFunction
from taskq.queue import Queue

PATIENCE = 30.0  # seconds for which a server may be away
_KNOWN = frozenset(FrontKeywords.__annotations__)
_NOWHERE = "unix:///nowhere"  # of a queue by which options are tried: no server is asked


@dataclass(frozen=True)
class Terms:
    """What a session is told.

    Args:
        kind: Of front, for people.
        name: The id of its map, which stays when it has ended; None: one is drawn, and nothing is left.
        patience: Seconds for which a server may be away; None: for ever.
        initializer: Called in each process before anything else is; None: nothing.
        initargs: Its arguments.
        options: Those of ``FrontKeywords``.
        at_exit: Whether the program waits at its end for what was submitted; else that is cancelled.
        runs: What the map calls for each item.
    """

    kind: str
    name: str | None = None
    patience: float | None = PATIENCE
    initializer: Any = None
    initargs: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    at_exit: bool = True
    runs: Callable[..., Any] = call.run

    def options_of_map(self) -> dict[str, Any]:
        """For ``Queue.open_map``.

        Raises:
            OptionError: If one is unknown; lists those there are.
        """
        if unknown := sorted(set(self.options) - _KNOWN):
            near = difflib.get_close_matches(unknown[0], _KNOWN, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            known = ", ".join(sorted(_KNOWN))
            raise OptionError(f"unknown option {', '.join(unknown)}. {hint}The {self.kind} takes {known}")
        told = {"description": f"{self.kind} {self.name or ''}".strip(), **self.options}
        if self.initializer is not None:
            told |= {"initializer": self.initializer, "initargs": self.initargs}
        return told

    def check(self) -> None:
        """See that a map can be made of it, before any server or process is started for that.

        Raises:
            OptionError: If not: an option is unknown or unusable.
            PickleError: If the initializer can't be sent.
        """
        self.check_patience()
        options = MapOptions.read({"job_id": self.name, **self.options_of_map()})
        options.job(Queue(url=_NOWHERE), self.kind, OpenMap)
        if self.initializer is not None:
            PreparedFunction.prepare(self.runs, self.initializer, ())

    def check_patience(self) -> None:
        """See that it is one.

        Raises:
            OptionError: If it is no number of seconds.
        """
        if self.patience is not None and not (isinstance(self.patience, int | float) and self.patience >= 0):
            raise OptionError(f"patience must be seconds from 0 on, or None for ever, not {self.patience!r}")

    def opened(self, place: Place) -> OpenMap[Any]:
        """A new map; raises as ``Queue.open_map``."""
        options, called = self.options_of_map(), Function(self.kind, codec.dumps(self.runs), by_value=False)
        orphan: Any = "finish" if self.name else "cancel"
        return place.queue.open_map(called, job_id=self.name, orphan=orphan, star=True, **options)
