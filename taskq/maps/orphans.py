"""Open maps whose producer is gone: they are sealed, so that they end with the items they have, or cancelled.

Those that have all results that they want are sealed, too, whoever feeds them.

It is for who owns the map to see. A producer that was away with the server, or with its network, has some seconds
to renew its lease; the script that seals the map judges the lease by the server's clock.
"""

from __future__ import annotations

import time
from dataclasses import replace

from rq.command import PUBSUB_CHANNEL_TEMPLATE

from taskq.maps.info import MapInfo, check_put, seal_codec
from taskq.maps.store import MapStore

GRACE = 5.0
"""Seconds for which the owner of a map sees that its producer's lease is over, before it does anything."""


class Silence:
    """Since when the lease of a map's producer is over, as its owner sees it."""

    def __init__(self) -> None:
        self._since: float | None = None  # on the monotonic clock

    def lasts(self, lease: float, now: float) -> bool:
        """Whether the owner has seen it for long enough.

        Args:
            lease: Until when it is, by the server's clock.
            now: By the server's clock, as far as it is known here.
        """
        if lease > now:
            self._since = None
            return False
        self._since = time.monotonic() if self._since is None else self._since
        return time.monotonic() - self._since >= GRACE


def seal(store: MapStore, info: MapInfo) -> bool:
    """Have a map get no more items if its producer's lease is over, or it has all results that it wants.

    Args:
        store: The map's.
        info: As it was read a moment ago.

    Returns:
        Whether that was done, now or before.

    Raises:
        As ``info.check_put``.
    """
    if info.sealed or info.orphaned:
        return info.orphaned
    k, orphaned = store.known, not info.enough
    items: str | int = "" if info.terms.orphan == "cancel" and orphaned else info.written
    if items != "" and info.fed:  # who signs a number here says that the producer has put so many
        check_put(k.id, info)
    signed = seal_codec(k.id).close(replace(info, total=info.written, orphaned=orphaned).announcement)
    args = [k.incarnation, "", items, signed, k.events, PUBSUB_CHANNEL_TEMPLATE, "1" if orphaned else ""]
    state, there = store.scripts.seal([k.hash], args)
    return bool(state == b"sealed" and there == b"%d" % info.written)


def to_cancel(info: MapInfo) -> bool:
    """Whether a map that gets no more items is to be cancelled: it is never complete."""
    return info.orphaned and not info.sealed
