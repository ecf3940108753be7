"""The options that fronts take as keywords besides those that they name, for type checkers and editors."""

from __future__ import annotations

from taskq.maps.keywords import LazyKeywords


class FrontKeywords(LazyKeywords, total=False):
    """Of ``Pool`` and ``Executor``, for the map behind it.

    Args:
        job_timeout: Seconds for all of it, or RQ's words such as "1h"; -1, the default: none.
        result_ttl: Seconds for which the results of one with a name are kept, -1: for ever. Default: 7 days.
        failure_ttl: The same of one in which a call has failed. Default: RQ's, a year.
        ttl: Seconds for which it waits in its queue; then it is gone. Default: None, for ever.
    """

    job_timeout: float | str | None
    result_ttl: float | str | None
    failure_ttl: float | str | None
    ttl: float | str | None
