"""The options of a map, checked before anything is written, and the RQ job that is made of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.exceptions import TimeoutFormatError
from rq.job import JobStatus, Retry
from rq.utils import parse_timeout

from taskq.errors import OptionError
from taskq.maps.caps import Caps, check_max_running, check_rate
from taskq.maps.info import HEAVIEST, LIGHTEST
from taskq.maps.item_retry import Retry as ItemRetry
from taskq.maps.job import MapJob
from taskq.maps.rq_jobs import MAP_PATH
from taskq.maps.terms import NONE, Terms
from taskq.payload.function import check_callbacks
from taskq.payload.ranges import COUNTABLE

J = TypeVar("J", bound=MapJob[Any])

MAP_RESULT_TTL = 7 * 24 * 3600  # seconds: who starts a long map may come back for it after the weekend
LONGEST = 10**9  # seconds of any limit, 31 years: of some more Redis makes a time that is over, or no time at all
NO_TIMEOUT = -1  # RQ's word for it; RQ's default of 180 s is meant for one call, not for a million
_REFUSALS = (TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, TimeoutFormatError)
"""What RQ raises at values it can't use."""


class MapQueue(Protocol):
    """The queue to which a map is pushed: RQ's, with a limit for what is pickled."""

    name: str
    connection: Any
    serializer: Any
    payload_limit: int

    @property
    def is_async(self) -> bool:
        """RQ's: whether workers run the jobs."""

    def enqueue_job(self, job: Any, *, pipeline: Any = None, at_front: bool = False) -> Any:
        """RQ's."""


@dataclass(frozen=True)
class MapOptions:
    """The options that ``map`` and ``starmap`` take: their own, and RQ's; see there."""

    job_timeout: Any = NO_TIMEOUT
    item_timeout: Any = None
    weight: Any = 1
    max_failures: Any = None
    max_running: Any = None
    rate: Any = None
    item_retry: Any = None
    result_ttl: Any = MAP_RESULT_TTL
    failure_ttl: Any = DEFAULT_FAILURE_TTL
    ttl: Any = None
    retry: Any = None
    depends_on: Any = None
    at_front: bool = False
    meta: dict[str, Any] | None = None
    description: str | None = None
    on_success: Any = None
    on_failure: Any = None
    on_stopped: Any = None
    webhooks: Any = None
    job_id: str | None = None
    unique: bool = False
    names: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> MapOptions:
        """Check the names of what the caller gave.

        Raises:
            OptionError: If one is unknown; lists those there are.
        """
        known = [name for name in cls.__dataclass_fields__ if name != "names"]
        if unknown := sorted(set(options) - set(known)):
            near = difflib.get_close_matches(unknown[0], ["chunksize", *known], 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise OptionError(
                f"unknown option {', '.join(unknown)}. {hint}A map takes chunksize, {', '.join(known)}. "
                "Arguments for the function itself: functools.partial(fn, ...)."
            )
        return cls(**options, names=frozenset(options))

    def _check(self) -> None:
        """Refuse what RQ would take and nobody can mean.

        Raises:
            ValueError: Says what.
            Others: As RQ, if a value is of a type that can't be compared.
        """
        timeout, ttl = parse_timeout(self.job_timeout), parse_timeout(self.ttl)
        times = {"job_timeout": timeout, "ttl": ttl, "result_ttl": parse_timeout(self.result_ttl),
                 "failure_ttl": parse_timeout(self.failure_ttl)}  # fmt: skip
        for name, seconds in times.items():
            if seconds is not None and seconds > LONGEST:
                raise ValueError(f"{name} must be {LONGEST:,} seconds at most")
        if timeout == 0 or (timeout is not None and timeout < NO_TIMEOUT):
            raise ValueError("job_timeout must be above 0, or -1 for none")
        if ttl is not None and ttl <= 0:
            raise ValueError("ttl must be above 0")
        if self.item_timeout is not None and not 0 < float(self.item_timeout) < float("inf"):
            raise ValueError("item_timeout must be a number of seconds above 0")
        if not LIGHTEST <= float(self.weight) <= HEAVIEST:
            raise ValueError(f"weight must be a number from {LIGHTEST:g} to {HEAVIEST:g}")
        if self.max_failures is not None and not _is_number_or_share(self.max_failures):
            raise ValueError("max_failures must be a whole number from 0 on, or a share such as 0.05")
        self._check_retries()
        check_callbacks(vars(self))
        if self.unique and not self.job_id:
            raise ValueError("unique=True needs a job_id")

    def _check_retries(self) -> None:
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ValueError(f"retry must be RQ's Retry, such as rq.Retry(max=3), not {self.retry!r}")
        if self.item_retry is not None and not isinstance(self.item_retry, ItemRetry):
            raise ValueError(f"item_retry must be a taskq.Retry, such as taskq.Retry(3), not {self.item_retry!r}")

    def terms(self, named: Terms = NONE) -> Terms:
        """What of these is a term of the map's, besides those that are named."""
        if self.max_failures is not None:
            named = replace(named, max_failures=self.max_failures)
        if self.item_retry is not None:
            named = replace(named, item_retry=self.item_retry.spell)
        return named

    @property
    def caps(self) -> Caps:
        """How much of it may run.

        Raises:
            OptionError: If one of the options is none.
        """
        return Caps(check_max_running(self.max_running), check_rate(self.rate))

    def job(self, queue: MapQueue, name: str, kind: type[J]) -> J:
        """The RQ job, not yet saved.

        Raises:
            OptionError: If RQ refuses one of the values.
        """
        try:
            self._check()
            self.caps  # noqa: B018 - refused before anything is written
            timeout = parse_timeout(self.job_timeout)
            job = kind.create(
                MAP_PATH,
                connection=queue.connection,
                timeout=NO_TIMEOUT if timeout is None else timeout,
                result_ttl=parse_timeout(self.result_ttl),
                failure_ttl=parse_timeout(self.failure_ttl),
                ttl=parse_timeout(self.ttl),
                retry=self.retry,
                # RQ looks for a job's id in any iterable it gets.
                depends_on=[self.depends_on] if isinstance(self.depends_on, MapJob) else self.depends_on,
                meta=self.meta,
                description=self.description or f"map {name}",
                on_success=self.on_success,
                on_failure=self.on_failure,
                on_stopped=self.on_stopped,
                webhooks=self.webhooks,
                id=self.job_id,
                origin=queue.name,
                status=JobStatus.QUEUED,
                serializer=queue.serializer,
            )
        except _REFUSALS as error:
            raise OptionError(f"a map can't be made with these options: {error}") from error
        for key, value in job.to_dict().items():  # which pickles meta, now that nothing is written yet
            if not isinstance(value, bytes | str | int | float):
                raise OptionError(f"a map's {key} can't be {value!r:.100}")
        assert isinstance(job, kind)
        return job


def _is_number_or_share(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < 1 if isinstance(value, float) else 0 <= value < COUNTABLE
