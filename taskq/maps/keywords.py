"""The options that maps take as keywords, for type checkers and editors; ``options`` checks their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from rq.job import Retry

from taskq.maps.item_retry import Retry as ItemRetry
from taskq.maps.terms import Orphan, Results

IfExists = Literal["raise", "attach", "replace"]
MemoChanged = Literal["keep", "forget"]


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
        speculate: Whether what takes much longer than the others, or is on a slow host, may run a second time on a
            process that has nothing else to do: the first of the two that ends counts, the other is stopped. For
            functions that may run twice at the same time, with the same effect. Not with caps. Default: False.
        share: Whether arrays and the like of 1 MiB or more travel once, apart from what holds them, and are
            read-only where they arrive: see docs/shared.md. Default: True.
        meta: RQ's.
        description: RQ's. Default: the function's name.
        at_front: Before all that waits in the queue. Default: False.
    """

    item_timeout: float | None
    weight: float
    max_failures: float | None
    item_retry: ItemRetry | None
    speculate: bool
    share: bool
    meta: Mapping[str, Any] | None
    description: str | None
    at_front: bool


class WholeKeywords(LazyKeywords, total=False):
    """Of whatever is one map, whoever has it made: of ``Queue.open_map``, ``taskq.Pool``, ``taskq.Executor``.

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


class FedKeywords(WholeKeywords, total=False):
    """Of all maps that are wholes of their own: also of ``MapJob.map``.

    Args:
        results: ``"discard"``: only counted, as of what is run for its side effects. No list of them can be had
            (``MapJob.count`` waits), they need not be picklable, and the server's memory does not grow with items
            that succeed. Default: ``"keep"``.
        initializer: Called once in each pool process before its first item of this map: a function, or the path of
            one, sent as the map's own. What it is to leave behind for the items goes into ``taskq.state()``. Its
            time counts for no item. One that fails, or kills three processes, costs its service the map; when it
            has failed on every live service, the map does. Default: none.
        initargs: Arguments for it. Default: ().
    """

    results: Results
    initializer: Callable[..., object] | str | None
    initargs: tuple[Any, ...] | list[Any]


class OpenKeywords(FedKeywords, total=False):
    """Of ``Queue.open_map``, besides those that it names itself.

    Args:
        first: So many results are enough: then the map has finished, nothing new starts, and what still ends is
            neither stored nor counted. Which ones they are, chance decides. From 1 on. Default: all.
    """

    first: int | None


class MapKeywords(OpenKeywords, total=False):
    """Of ``Queue.map`` and ``Queue.starmap``.

    Args:
        job_id: Letters, digits, ``_`` and ``-``. A map of this id that has ended is replaced.
            Default: one is drawn.
        if_exists: What becomes of a map that has the ``job_id`` already. ``"raise"``, the default: one that has
            ended is replaced, any other is a ``DuplicateJobError``. ``"attach"``: it is returned, whatever has
            become of it, if function, items and terms are the same, and is an ``OptionError`` if not.
            ``"replace"``: it is cancelled and replaced.
        memo: Name of a memo: items whose keys have results there are not run, and what is run is kept there. If
            the same map goes on already, that is returned, unless a ``job_id`` is given. Letters, digits and
            ``_.:-``. Default: none.
        key: What gives the memo's key of an item, a text of 1 to 1000 bytes; called as the function is, in this
            program. Default: the item itself is the key, which must be plain data then.
        memo_ttl: Seconds for which a result in the memo counts, from its commit on; -1: for ever. Default: 30
            days.
        memo_changed: What becomes of a memo that is of another function, or of another version of it: ``"keep"``
            or ``"forget"`` what it holds. Default: it is an ``OptionError``.
    """

    job_id: str | None
    if_exists: IfExists
    memo: str | None
    key: Callable[..., str] | None
    memo_ttl: float | None
    memo_changed: MemoChanged | None


# What the methods name themselves, for their overloads, which would have to repeat it.


class LazyCall(LazyKeywords, total=False):
    """All of ``Queue.imap`` but ``star``."""

    buffersize: int
    chunksize: int | None


class OpenCall(OpenKeywords, total=False):
    """All of ``Queue.open_map`` but ``star``."""

    job_id: str | None
    buffersize: int | None
    orphan: Orphan
    chunksize: int | None


class ChainCall(FedKeywords, total=False):
    """All of ``MapJob.map``.

    Args:
        queue: Name of another queue for it. Default: that of the map whose results are its items.
        job_id: As of ``Queue.map``. Default: one is drawn.
        chunksize: Items that are reserved, run and committed together, at most: no more than were committed
            together by the map before. Default: 256, and fewer where they take long.
    """

    queue: str | None
    job_id: str | None
    chunksize: int | None


class MapCall(MapKeywords, total=False):
    """All of ``Queue.map``."""

    chunksize: int | None
