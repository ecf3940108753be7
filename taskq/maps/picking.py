"""One item of a map is cancelled: its range is claimed as a worker would, and committed with that item's error."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from taskq.errors import DamagedError
from taskq.maps.claim import Claim, new_token
from taskq.maps.store import MapStore
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part
from taskq.payload.ranges import Range
from taskq.redis import clock, keys
from taskq.views.timeline import TimelineNote

_LOOK = 1000  # pending ranges that are read in one round trip
_TRIES = 3  # what is pending moves while it is looked through


def cancel_item(store: MapStore, index: int) -> bool:
    """Have an item that nobody has begun fail with ``ItemCanceledError``; whether that was done.

    Args:
        store: The map's.
        index: The item's.

    Raises:
        DamagedError: If the map's keys hold what taskq does not write there.
    """
    for _ in range(_TRIES):
        for claim in _picked(store, index):
            if index in claim.to_do:
                if _commit(store, claim, index):
                    return True
            else:
                store.release([(claim, claim.deaths)])
    return False


def _picked(store: MapStore, index: int) -> Iterator[Claim]:
    """Claims of the pending ranges in which the item may be; whoever gets one commits or releases it."""
    k = store.known
    worker = f"{socket.gethostname()}-{os.getpid()}-cancels"
    for key in (k.pending, k.again):
        first, more = 0, True
        while more:
            entries: list[bytes] = store.connection.lrange(key, first, first + _LOOK - 1)
            for place, entry in enumerate(entries, first):
                if not _may_hold(entry, index):
                    continue
                args = [k.incarnation, worker, token := new_token(), place, entry]
                found, *told = store.scripts.pick([k.hash, key, k.claims, k.bodies], args)
                if found:
                    name, deaths, within, body = told
                    yield Claim(Range.parse(name), token, int(deaths), Range.parse(within), worker, body)
            first, more = first + len(entries), len(entries) == _LOOK


def _may_hold(entry: bytes, index: int) -> bool:
    try:
        found = Range.parse(entry.partition(b" ")[0])
    except DamagedError:
        return False  # whoever claims it says so
    return found.start <= index < found.end


def _commit(store: MapStore, claim: Claim, index: int) -> bool:
    item = Part(Range(index, 1))
    rest = [Part(one) for one in claim.beside(index)]
    now = clock.ask(store.connection)
    outcome = ChunkOutcome([], [], [ItemFailure.canceled(index)], now, 0.0, rest=rest, left=[item])
    note = TimelineNote(socket.gethostname(), claim.worker, os.getpid(), 0)
    done = store.read_commit(store.commit(claim, outcome, note)).committed
    if done and rest:
        store.connection.publish(keys.NOTES, keys.note(keys.WORK, store.keys.id))
    return done
