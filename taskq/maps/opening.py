"""Announces maps that have no items yet: of those that are fed while they run, and of those fed by another map."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from taskq.errors import OptionError
from taskq.maps import existing
from taskq.maps.chunk import Chunker
from taskq.maps.feed import Feed
from taskq.maps.job import MapJob
from taskq.maps.memo import Memo
from taskq.maps.open_map import OpenMap
from taskq.maps.options import MapOptions, MapQueue
from taskq.maps.push import Push, tell_terms
from taskq.maps.source import Source
from taskq.maps.terms import Terms
from taskq.payload import large, proxies
from taskq.redis.keys import MapField
from taskq.redis.lua import Operation
from taskq.views import tracing

J = TypeVar("J", bound=MapJob[Any])


def open_map(
    queue: MapQueue, target: Any, chunksize: int | None, terms: Terms, options: MapOptions, *, star: bool,
    memo: Memo | None = None,
) -> OpenMap:  # fmt: skip
    """Announce a map without items, to which they are added. See ``Queue.open_map`` for what may be raised.

    Args:
        queue: Where.
        target: The function.
        chunksize: As for ``Queue.open_map``.
        terms: Of the map, as far as they are no options.
        options: Others.
        star: As for ``Queue.open_map``.
        memo: Gets the results of items that are put with a key: see ``Feed.put``.
    """
    if not queue.is_async:
        raise OptionError("an open map is run by workers while it is fed: not on a queue with is_async=False")
    with large.noting(), proxies.reaching(queue.own_workers):
        function, feeder = options.prepared(target), os.urandom(12).hex()
        job = options.job(queue, function.name, OpenMap)
        push = Push(queue, job, function, chunksize, options, star)
        if memo is not None:
            terms = replace(terms, memo=memo.name, memo_generation=memo.header.generation)
        with tracing.pushing(function.name, job.id, queue.name) as context:
            fields = push.fields(push.terms(terms), context)
            fields |= {MapField.FEEDER: feeder, MapField.LEASE: 0}
            if memo is not None:  # who begins again does not wait long for one that has died just here
                fields[MapField.WRITER] = existing.LEASE
            with push.reserved(fields) as draft:
                tell_terms(job, draft, fields)
                push.announce(draft, fields, sealed=False)
    chunker = Chunker(draft.keys, options.size(chunksize), push.cores, queue.payload_limit)
    announced = draft.announced(fields, sealed=False)
    feed = Feed(job.store, announced, feeder, chunker, job.takes_no_more, memo, own_workers=queue.own_workers)
    job.fed_by(feed, keep=queue.keeps_leases)
    return job


def push_follower(
    queue: MapQueue, source: Source, target: Any, chunksize: int | None, options: MapOptions, kind: type[J],
    *, star: bool,
) -> J:  # fmt: skip
    """Announce a map whose items are another's results. See ``MapJob.map`` for what may be raised."""
    with large.noting(), proxies.reaching(queue.own_workers):
        function = options.prepared(target)
        job = options.job(queue, function.name, kind)
        push = Push(queue, job, function, chunksize, options, star)
        terms = push.terms(Terms(source=str(source), together=source.together))
        with tracing.pushing(function.name, job.id, queue.name) as context:
            fields = push.fields(terms, context)
            fields |= {MapField.SOURCE: str(source), MapField.TOGETHER: source.together, MapField.LEASE: 0}
            if size := options.size(chunksize):
                fields[MapField.CHUNK] = size
            with push.reserved(fields) as draft:
                tell_terms(job, draft, fields)
                args = [source.incarnation, f"{job.id} {draft.keys.incarnation}"]
                note = partial(Operation(queue.connection, "follow").in_full, [source.keys.hash], args)
                push.announce(draft, fields, sealed=False, beside=note)
    return job
