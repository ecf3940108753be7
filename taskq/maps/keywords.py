"""The options that maps take as keywords, for type checkers and editors; ``options`` checks their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from rq.job import Retry

from taskq.maps.item_retry import Retry as ItemRetry


class LazyKeywords(TypedDict, total=False):
    """Of ``Queue.imap``, for each of the maps behind it.

    Args:
        item_timeout: Seconds for each item, also inside C code; an item over it fails alone. Default: none.
        weight: Share of its queue's process time beside other maps there, and beside the queue's plain jobs, which
            have 1 together; from 0.001 to 1000. Default: 1.
        max_failures: The map fails once more items have failed: so many or, below 1, such a share of all; nothing
            new starts then. 0: with the first. Default: all are tried.
        item_retry: ``taskq.Retry``: an item that fails is tried again while the map runs, after a pause. Default:
            it is tried once.
        meta: RQ's.
        description: RQ's. Default: the function's name.
        at_front: Before all that waits in the queue. Default: False.
    """

    item_timeout: float | None
    weight: float
    max_failures: float | None
    item_retry: ItemRetry | None
    meta: Mapping[str, Any] | None
    description: str | None
    at_front: bool


class OpenKeywords(LazyKeywords, total=False):
    """Of ``Queue.open_map``, besides those that it names itself.

    Args:
        max_running: Items that may run at once, over all services; from 1 on. Default: as many as there are
            processes.
        rate: Items that may begin within any second, minute or hour, over all services: "5/s", "300/m", "1000/h".
            Default: any number.
        job_timeout: Seconds for the whole map, or RQ's words such as "1h"; -1, the default: none.
        result_ttl: Seconds for which the results are kept, -1: for ever. Default: 7 days.
        failure_ttl: The same of a failed map. Default: RQ's, a year.
        ttl: Seconds for which it waits in its queue; then it is gone. Default: None, for ever.
        retry: Runs only the failed items again, when all have been tried. Default: None.
        depends_on: RQ's: jobs that are to finish before.
        on_success: RQ's callback, as the three that follow.
        on_failure: RQ's.
        on_stopped: RQ's.
        webhooks: RQ's.
        unique: Whether a job that has the id refuses this one, whatever has become of it. Default: False.
    """

    max_running: int | None
    rate: str | None
    job_timeout: float | str | None
    result_ttl: float | str | None
    failure_ttl: float | str | None
    ttl: float | str | None
    retry: Retry | None
    depends_on: Any
    on_success: Any
    on_failure: Any
    on_stopped: Any
    webhooks: Any
    unique: bool


class MapKeywords(OpenKeywords, total=False):
    """Of ``Queue.map`` and ``Queue.starmap``.

    Args:
        job_id: Letters, digits, ``_`` and ``-``. A map of this id that has ended is replaced.
            Default: one is drawn.
    """

    job_id: str | None
