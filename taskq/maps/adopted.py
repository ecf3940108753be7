"""An open map whose producer may be dead gets another one: who begins again goes on with the map that is there."""

from __future__ import annotations

import os
from typing import cast

from rq.exceptions import NoSuchJobError

from taskq.errors import DuplicateJobError, ReplacedError, ResultsGoneError
from taskq.maps import existing, push
from taskq.maps.chunk import Chunker
from taskq.maps.controlled import ENDED
from taskq.maps.feed import LEASE, Feed
from taskq.maps.info import check_put
from taskq.maps.memo import Memo
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MapQueue
from taskq.payload import signing
from taskq.redis import checked, services


def going_on(queue: MapQueue, map_id: str, memo: Memo) -> OpenMap | None:
    """The map of this id, if it has not ended; None if it has, or there is none. Waits for who is writing one.

    Raises:
        DuplicateJobError: If it is no map with this memo, as it is now.
    """
    if not existing.is_there(map_id, queue.connection, push.is_mine):
        return None
    try:
        job = cast("OpenMap", OpenMap.fetch(map_id, connection=queue.connection, serializer=queue.serializer))
        if job.status_now() in {*ENDED, None}:
            return None
        terms = job.store.info().terms
    except (NoSuchJobError, ResultsGoneError, ReplacedError):
        return None
    if job.origin != queue.name or (terms.memo, terms.memo_generation) != (memo.name, memo.header.generation):
        raise DuplicateJobError(
            f"a job with the id {map_id!r} is waiting or running, and is none that can be resumed with this memo: "
            "use another name, or cancel it"
        )
    return job


def adopt(queue: MapQueue, job: OpenMap, memo: Memo) -> bool:
    """Feed this map from here on; whoever has fed it hears that he does not. False: it can't get more items.

    Args:
        queue: Where it is.
        job: A map that goes on; see ``going_on``.
        memo: Its own.

    Raises:
        ResultsGoneError, ReplacedError: If it is gone.
    """
    store, feeder = job.store, os.urandom(12).hex()
    info, k = store.info(), store.known
    state, items = store.scripts.adopt([k.hash], [k.incarnation, feeder, LEASE])
    if state != b"open":
        return False
    if signing.keyring():  # asked now that nobody else puts any more
        check_put(job.id, store.info())
    cores = services.cores(queue.connection, queue.name) or push.own_cores()
    chunker = Chunker(store.keys, None, cores, queue.payload_limit)
    known = checked.count(items)
    feed = Feed(store, info, feeder, chunker, job.takes_no_more, memo, known, own_workers=queue.own_workers)
    job.fed_by(feed, keep=True)
    return True


def unfinished(job: OpenMap) -> dict[str, int]:
    """Key -> index of each item of a map that has neither a result nor an error record."""
    store = job.store
    named: dict[bytes, bytes] = store.connection.hgetall(store.keys.memo)
    items = store.info().items
    found = {int(index): told.partition(b" ")[2].decode() for index, told in named.items() if int(index) < items}
    failed = {one.index for one in store.failures_at(sorted(found)) if one is not None}
    return {key: index for index, key in sorted(found.items()) if index not in failed}
