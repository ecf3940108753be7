"""The results of a map as JSON lines, for the page's download.

This is the only thing for which the page unpickles anything, and reading a pickle runs whatever it says. So it is
done on request only, and only where strangers can't have written it: Redis is on this machine, it is said to be
private, or all is signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskq.errors import UsageError
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.proof import prove
from taskq.maps.store import MapStore
from taskq.payload import signing
from taskq.payload.results import Place, value_of
from taskq.redis import exposure
from taskq_workers import user_path
from taskq_workers.json_lines import line_of


class DownloadRefusedError(UsageError):
    """Results are not unpickled here."""


def check(connection: Any, map_id: str) -> None:
    """See that results may be unpickled here.

    Raises:
        DownloadRefusedError: If not; says what to do instead.
    """
    if signing.keyring() or exposure.is_private(connection):
        return
    raise DownloadRefusedError(
        "results are pickles, and reading one runs whatever somebody who can write to Redis has put into it. "
        f"This Redis is on another machine, so the page reads them only if all is signed: set {signing.VARIABLE}, "
        f"see docs/security.md. Or fetch them where you trust it: taskq results {map_id}"
    )


def lines(store: MapStore) -> Iterator[str]:
    """A line for each result, in the order of completion, then one for each failed item: as of ``taskq results``.

    A result that can't be read here (its class is not installed, say) is a text that says so.

    Raises:
        ResultsGoneError: At the end, if the server has lost some of them meanwhile.
        DamagedError: At the end, if the map says that it is complete, and these are not all.
    """
    info = store.info()  # before anything is read: what ends meanwhile was asked for as it ran
    reading = Arrivals(store, in_order=False, discards=info.terms.discards)
    for arrival in reading.new(failures=True, ended=True):
        with user_path.in_front([str(Path.cwd())]):
            line = _line(arrival, store.place)
        yield f"{line}\n"
    reading.check()
    if info.complete:  # if not proven, the download ends as one that is cut off, and nobody takes it for whole
        prove(store, discards=info.terms.discards)


def _line(arrival: Arrival, place: Place) -> str:
    value = None
    if arrival.failure is None:
        try:
            value = value_of(place, arrival.index, arrival.data)
        except Exception as error:  # noqa: BLE001 - loading imports the user's modules
            value = f"can't be read by the page: {type(error).__name__}: {error}"
    return line_of(arrival, value)
