"""What becomes of a map that has the id already, where ``if_exists`` says so: it is attached to, or replaced.

A producer that dies while it writes leaves a map that is not announced. So that who comes next need not wait until
that expires, those whose map has an id of the user's have a lease while they write, which is renewed by a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from taskq.errors import DamagedError, DuplicateJobError, MapError, ReplacedError, ResultsGoneError
from taskq.maps.controlled import ENDED
from taskq.maps.draft import Draft
from taskq.maps.info import MapInfo
from taskq.maps.job import MapJob
from taskq.maps.sameness import Wanted
from taskq.maps.terms import Terms
from taskq.redis import ids
from taskq.redis.keys import MapField, MapKeys
from taskq.redis.lua import Scripts

LEASE = 10.0  # seconds for which a producer that writes may be silent
_RENEWALS = 4  # of it, within its time
_LOOK = 0.25  # seconds between two looks at a map that another producer is writing
_NOBODY_KNOWS = b"-"  # what displace.lua says of a producer without a lease


def attached(job: MapJob, wanted: Wanted, mine: Callable[[bytes], bool]) -> MapJob | None:
    """The map that has the id of this job, if it is the same; None: there is none, and no item was read.

    Args:
        job: As it would be pushed.
        wanted: What it is compared with.
        mine: Whether an incarnation was written by this process, which is not writing it any more.

    Raises:
        OptionError: If it is another one; says what differs.
        DuplicateJobError: If somebody writes it of whom nobody knows whether he lives; or if it is no map.
    """
    found = _there(job, mine)
    if found is None:
        return None
    try:
        info = found.store.info()
    except (ResultsGoneError, ReplacedError):
        return None  # in this very moment; who begins sees
    wanted.check(found, info)
    return found


def going_on(job: MapJob, map_id: str, wanted: MapInfo) -> MapJob | None:
    """A map that does at this moment just what this one is to do, of the same memo; None if there is none.

    Args:
        job: As it would be pushed.
        map_id: Which map it may be; "": none.
        wanted: What would be announced.
    """
    if not ids.read(map_id):
        return None
    try:
        found = cast("MapJob", MapJob.fetch(map_id, connection=job.connection, serializer=job.serializer))
        if found.origin != job.origin or found.status_now() in {*ENDED, None}:
            return None
        info = found.store.info()
    except (NoSuchJobError, MapError, DamagedError):  # who told of it may be wrong; it was no more than a hint
        return None
    same = ("name", "star", "total", "limit", "item_timeout")
    is_same = all(getattr(info, part) == getattr(wanted, part) for part in same)
    return found if is_same and _told(info) == _told(wanted) else None


def _told(info: MapInfo) -> Terms:
    """What it was told, but for what was said to the push alone."""
    terms = info.terms
    return replace(terms.wanted, code_digest=terms.code_digest, items_digest=terms.items_digest,
                   memo_generation=terms.memo_generation, blobs=terms.blobs)  # fmt: skip


def make_way(job: MapJob, mine: Callable[[bytes], bool]) -> None:
    """Cancel the map that has the id of this job, if it has not ended; then it can be replaced as one that has.

    Raises:
        DuplicateJobError: As ``attached``.
    """
    found = _there(job, mine)
    with suppress(InvalidJobOperation, ReplacedError, ResultsGoneError):  # it has just ended, or was replaced
        if found is not None and found.status_now() not in ENDED:
            found.cancel()


def _there(job: MapJob, mine: Callable[[bytes], bool]) -> MapJob | None:
    """The announced map with this id; waits for who is writing one. None if there is none."""
    return _fetched(job) if is_there(job.id, job.connection, mine) else None


def is_there(map_id: str, connection: Any, mine: Callable[[bytes], bool]) -> bool:
    """Whether there is an announced map with this id; waits for who is writing one.

    Raises:
        DuplicateJobError: If somebody writes it of whom nobody knows whether he lives.
    """
    keys = MapKeys(map_id)
    while True:
        fields: Any = connection.hmget(keys.hash, MapField.INCARNATION, MapField.STATE)
        incarnation, state = fields
        if incarnation is None or (state == b"writing" and mine(incarnation)):
            return False
        if state != b"writing":
            return True
        left = Scripts(connection).displace([*keys.all], [incarnation])
        if left == _NOBODY_KNOWS:
            raise DuplicateJobError(f"another producer is writing a map with the id {map_id!r}, or has died of it")
        if left:
            time.sleep(min(_LOOK, float(left)))


def has_died(map_id: str, incarnation: bytes, connection: Any) -> bool:
    """Whether the producer that is writing this map has died; then nothing is left of it. Waits until it is known.

    A lease that is renewed meanwhile is of one that lives.
    """
    names, before, pause = [*MapKeys(map_id).all], float("inf"), 0.0
    while left := Scripts(connection).displace(names, [incarnation]):
        if left == _NOBODY_KNOWS or float(left) > before - pause / 2:
            return False
        before = float(left)
        pause = min(_LOOK, before)
        time.sleep(pause)
    return True


def _fetched(job: MapJob) -> MapJob | None:
    try:
        found = cast("MapJob", MapJob.fetch(job.id, connection=job.connection, serializer=job.serializer))
    except NoSuchJobError:  # a tool of RQ's has deleted it, and knows nothing of our keys
        return None
    if not found.incarnation:
        raise DuplicateJobError(f"a job with the id {job.id!r} exists, and is no map")
    return found


@contextmanager
def lease(draft: Draft) -> Iterator[None]:
    """Renew the lease of who writes this map, in a thread, while the block runs."""
    over = threading.Event()
    name = f"taskq writes {draft.keys.id}"
    thread = threading.Thread(target=_renew, args=(draft, over), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _renew(draft: Draft, over: threading.Event) -> None:
    while not over.wait(LEASE / _RENEWALS):
        with suppress(RedisError):  # it is tried again; who writes hears of it himself
            draft.renew(LEASE)
