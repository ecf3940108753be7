"""Waits for a map, and counts its results, without reading any: also where none is kept."""

from __future__ import annotations

from collections.abc import Callable

from taskq.errors import DamagedError
from taskq.maps.doubts import not_in_time
from taskq.maps.info import MapInfo
from taskq.maps.outage import through_outages
from taskq.maps.proof import prove
from taskq.maps.waited import Waited


def counted(
    job: Waited,
    timeout: float | None,
    wait: Callable[[float | None], bool],
    not_whole: Callable[[MapInfo], BaseException | None],
) -> int | BaseException:
    """How many items have a result; or the error to raise instead.

    Args:
        job: The map's.
        timeout: Seconds; None: for ever.
        wait: Waits for its end, for so many seconds; returns whether it has come.
        not_whole: Why what its hash says is not all; None if it is.

    Raises:
        WaitTimeoutError: If it has not ended in time.
        Others: As ``prove``; and DamagedError if the hash tells of no failure, and there are some.
    """

    def ask(left: float | None) -> int | BaseException:
        if not wait(left):
            raise not_in_time(job, timeout)
        return count_of(job, not_whole)

    return through_outages(job.connection, timeout, ask)


def count_of(job: Waited, not_whole: Callable[[MapInfo], BaseException | None]) -> int | BaseException:
    """As ``counted``, of a map that has ended, without waiting for a server that is away."""
    info = job.store.info()
    if (error := not_whole(info)) is not None:
        return error
    done = prove(job.store, discards=info.terms.discards)
    if done < info.total and not info.enough:
        raise DamagedError(f"{job.store.keys.errors} holds records, and the map's hash tells of none")
    return done
