"""Waiting for the end of a map that this very program feeds: it comes when the program says so, and not before.

That may be another of its threads. Where there is none, who waits would wait for ever, and is told so instead.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from taskq.maps.reader import MapReader
from taskq.redis.keys import MapKeys

_OURS = ("taskq feeds ", "taskq Pool sends", "taskq Pool reads", "taskq Executor sends")
"""How threads are called that run no code of the user's; all others may seal a map."""


class Feeding(Protocol):
    """A ``Feed``, as far as is asked here."""

    sealed: bool

    @property
    def speaks(self) -> bool:
        """Whether it has more to say to the server."""


_feeds: weakref.WeakValueDictionary[tuple[str, str], Feeding] = weakref.WeakValueDictionary()


def note(keys: MapKeys, feed: Feeding) -> None:
    """This program feeds the map, by this."""
    _feeds[keys.id, keys.incarnation] = feed


def end_of(store: MapReader) -> str | None:
    """Why the map does not end, for people, if nothing of it is left to be run, and it is fed from here.

    Raises:
        redis.exceptions.RedisError, TaskqError: If that can't be asked.
    """
    known = store.known
    feed = _feeds.get((known.id, known.incarnation))
    if feed is None or feed.sealed or not feed.speaks:
        return None
    info = store.info()
    if info.sealed or info.done + info.failed < info.items:
        return None
    return (
        "all that was put has ended, and more may come until this program, which has opened it, says "
        "that it has all: close the pool, leave its with block, or call seal() before you wait for the end"
    )


def is_alone() -> bool:
    """Whether no other thread of this program could say it."""
    others = (one for one in threading.enumerate() if one is not threading.current_thread())
    return all(one.name.startswith(_OURS) for one in others)
