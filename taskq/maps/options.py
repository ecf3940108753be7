"""The options of a map, checked before anything is written, and the RQ job that is made of them."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, TypeVar

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.exceptions import TimeoutFormatError
from rq.job import JobStatus, Retry
from rq.utils import parse_timeout

from taskq.errors import OptionError
from taskq.maps import memo
from taskq.maps.caps import Caps, check_max_running, check_rate
from taskq.maps.info import HEAVIEST, LIGHTEST
from taskq.maps.item_retry import Retry as ItemRetry
from taskq.maps.job import MapJob
from taskq.maps.terms import NONE, RESULTS, Terms
from taskq.payload import code_hash, tally
from taskq.payload.function import Function, check_callbacks
from taskq.payload.prepared import PreparedFunction
from taskq.payload.ranges import COUNTABLE
from taskq.redis.kinds import RUN_MAP
from taskq.redis.replicas import Replicas

J = TypeVar("J", bound=MapJob[Any])

MAP_RESULT_TTL = 7 * 24 * 3600  # seconds: who starts a long map may come back for it after the weekend
_MEMO = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
IF_EXISTS = ("raise", "attach", "replace")
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
    keeps_leases: bool
    own_workers: bool
    replicas: Replicas

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
    results: Any = "keep"
    first: Any = None
    initializer: Any = None
    initargs: Any = ()
    share: Any = True
    max_running: Any = None
    rate: Any = None
    item_retry: Any = None
    speculate: Any = False
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
    if_exists: str = "raise"
    memo: Any = None
    key: Any = None
    memo_ttl: Any = None
    memo_changed: Any = None
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

    def check(self) -> None:
        """See that they can be had, before anything is written.

        Raises:
            OptionError: Says which can't.
        """
        try:
            self._check()
            self.caps  # noqa: B018 - raises if they are none
        except _REFUSALS as error:
            raise OptionError(f"a map can't be made with these options: {error}") from error

    def _check(self) -> None:
        """Refuse what RQ would take and nobody can mean.

        Raises:
            ValueError: Says what.
            Others: As RQ, if a value is of a type that can't be compared.
        """
        self._check_times()
        self._check_numbers()
        if self.meta is not None and not isinstance(self.meta, dict):
            raise ValueError(f"meta must be a dict, not {self.meta!r:.80}")
        if self.at_front is not True and self.at_front is not False:
            raise ValueError(f"at_front must be True or False, not {self.at_front!r:.80}")
        self._check_terms()
        self._check_speculate()
        self._check_retries()
        check_callbacks(vars(self))
        if self.unique and not self.job_id:
            raise ValueError("unique=True needs a job_id")
        self._check_if_exists()
        self._check_memo()

    def _check_times(self) -> None:
        names = ("job_timeout", "ttl", "result_ttl", "failure_ttl")
        if told := [name for name in names if isinstance(getattr(self, name), bool)]:
            raise ValueError(f"{told[0]} must be a time, not {getattr(self, told[0])!r}")
        times = {name: parse_timeout(getattr(self, name)) for name in names}
        for name, seconds in times.items():
            if seconds is not None and seconds > LONGEST:
                raise ValueError(f"{name} must be {LONGEST:,} seconds at most")
        timeout, ttl, *kept = times.values()
        if timeout == 0 or (timeout is not None and timeout < NO_TIMEOUT):
            raise ValueError("job_timeout must be above 0, or -1 for none")
        if ttl is not None and ttl <= 0:
            raise ValueError("ttl must be above 0")
        if any(seconds is not None and seconds < -1 for seconds in kept):
            raise ValueError("result_ttl and failure_ttl must be seconds from 0 on, or -1 for ever")

    def _check_numbers(self) -> None:
        limit = self.item_timeout
        if limit is not None and not (_is_real(limit) and 0 < limit <= LONGEST):
            raise ValueError(
                f"item_timeout must be a number of seconds above 0, {LONGEST:,} at most, not {limit!r:.80}"
            )
        if not (_is_real(self.weight) and LIGHTEST <= self.weight <= HEAVIEST):
            raise ValueError(f"weight must be a number from {LIGHTEST:g} to {HEAVIEST:g}, not {self.weight!r:.80}")

    def _check_retries(self) -> None:
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ValueError(f"retry must be RQ's Retry, such as rq.Retry(max=3), not {self.retry!r}")
        if self.item_retry is not None and not isinstance(self.item_retry, ItemRetry):
            raise ValueError(f"item_retry must be a taskq.Retry, such as taskq.Retry(3), not {self.item_retry!r}")

    def _check_speculate(self) -> None:
        if self.speculate is not True and self.speculate is not False:
            raise ValueError(f"speculate must be True or False, not {self.speculate!r:.80}")
        if self.speculate and (self.max_running is not None or self.rate is not None):
            raise ValueError(
                "speculate can't be had with max_running or rate: of what runs twice they would count one"
            )

    @property
    def shares(self) -> bool:
        """Whether what is large travels apart from what holds it.

        Raises:
            OptionError: If ``share`` is neither True nor False.
        """
        if self.share is not True and self.share is not False:
            raise OptionError(f"share must be True or False, not {self.share!r}")
        return self.share

    def _check_memo(self) -> None:
        if self.memo is None:
            if named := [name for name in ("key", "memo_ttl", "memo_changed") if name in self.names]:
                raise ValueError(f"{named[0]} means nothing without memo, the name of one")
            return
        if not isinstance(self.memo, str) or not _MEMO.fullmatch(self.memo):
            raise ValueError(f"a memo's name has 1 to 100 letters, digits and _.:- only, not {self.memo!r:.80}")
        if self.key is not None and not callable(self.key):
            raise ValueError(
                f"key must be a function of an item, such as lambda item: item.id, not {self.key!r:.80}"
            )
        ttl = memo.TTL if self.memo_ttl is None else self.memo_ttl
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not (ttl == -1 or 0 < ttl <= LONGEST):
            raise ValueError(
                f"memo_ttl must be seconds above 0, {LONGEST:,} at most, or -1 for ever, not {ttl!r:.80}"
            )
        if self.results == "discard":
            raise ValueError('results="discard" keeps nothing that a memo could have')
        if self.first is not None:
            raise ValueError("first and memo can't be had together: of what is in the memo already nothing is run")
        if self.memo_changed not in (None, "keep", "forget"):
            raise ValueError(f'memo_changed must be "keep" or "forget", not {self.memo_changed!r:.80}')

    def _check_if_exists(self) -> None:
        if self.if_exists not in IF_EXISTS:
            raise ValueError(f'if_exists must be "raise", "attach" or "replace", not {self.if_exists!r}')
        if self.if_exists != "raise" and not self.job_id:
            raise ValueError(f'if_exists="{self.if_exists}" needs a job_id')
        if self.if_exists != "raise" and self.unique:
            raise ValueError(f'if_exists="{self.if_exists}" and unique=True contradict each other')

    def _check_terms(self) -> None:
        if self.max_failures is not None and not _is_number_or_share(self.max_failures):
            raise ValueError("max_failures must be a whole number from 0 on, or a share such as 0.05")
        if self.results not in RESULTS:
            raise ValueError(f'results must be "keep" or "discard", not {self.results!r}')
        if self.first is not None and not _is_count(self.first):
            raise ValueError(f"first must be a whole number from 1 on, not {self.first!r:.80}")

    def prepared(self, target: Any) -> Function:
        """The function of the map, with its initializer.

        Raises:
            OptionError, PickleError: As ``Function.of``, of both; or if ``initargs`` are none.
        """
        if self.initargs and self.initializer is None:
            raise OptionError(f"initargs are for an initializer, and there is none: {self.initargs!r:.80}")
        if not isinstance(self.initargs, tuple | list):
            raise OptionError(
                f"initargs must be a tuple of arguments for an initializer, not {self.initargs!r:.80}"
            )
        if self.initializer is None:
            function = Function.of(target, share=self.shares)
        else:
            function = PreparedFunction.prepare(target, self.initializer, tuple(self.initargs), share=self.shares)
        if isinstance(self.item_retry, ItemRetry):  # else ``job`` refuses it
            function.kinds = self.item_retry.kinds
        return function

    def code_of(self, target: Any) -> str:
        """A digest of the code of a function, with that of the initializer and its arguments."""
        code = code_hash.of(target)
        if self.initializer is None:
            return code
        return code_hash.of(functools.partial(_together, code, code_hash.of(self.initializer), *self.initargs))

    def terms(self, named: Terms = NONE, initializer: str = "") -> Terms:
        """What of these is a term of the map's, besides those that are named; ``initializer``: its name."""
        told: dict[str, Any] = {"results": self.results, "initializer": initializer, "first": self.first or 0}
        told |= {"speculate": self.speculate, "initargs": len(self.initargs)}
        if self.results == "discard":
            told["runs"] = tally.key_name()
        if self.if_exists != "raise":
            told["if_exists"] = self.if_exists
        told |= self._memo_terms()
        if self.max_failures is not None:
            told["max_failures"] = self.max_failures
        if self.item_retry is not None:
            told["item_retry"] = self.item_retry.spell
        return replace(named, **told)

    def _memo_terms(self) -> dict[str, Any]:
        """What was named of a memo, besides its name."""
        told: dict[str, Any] = {}
        if self.key is not None:
            told["key"] = getattr(self.key, "__qualname__", None) or type(self.key).__qualname__
        if self.memo_ttl is not None:
            told["memo_ttl"] = float(self.memo_ttl)
        if self.memo_changed is not None:
            told["memo_changed"] = self.memo_changed
        return told

    @property
    def memo_seconds(self) -> float:
        """Seconds for which a result in the memo counts; -1: for ever."""
        return memo.TTL if self.memo_ttl is None else float(self.memo_ttl)

    @property
    def joins(self) -> bool:
        """Whether a map of the same memo and items that goes on is returned in place of a new one."""
        return self.memo is not None and self.job_id is None

    def memo_for(self, queue: MapQueue, function: str, code: str) -> memo.Memo | None:
        """The memo of a map of this function, with this digest of its code; None if it has none.

        Raises:
            As ``memo.opened``.
        """
        if self.memo is None:
            return None
        changed = self.memo_changed or ""
        return memo.opened(self.memo, queue.connection, function, code, changed, self.memo_seconds)

    def size(self, chunksize: int | None) -> int | None:
        """Items of a chunk, None: taskq picks it; of a map with a rate one, for each is claimed by itself."""
        return 1 if self.rate is not None and chunksize is None else chunksize

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
        self.check()
        try:
            timeout = parse_timeout(self.job_timeout)
            job = kind.create(
                RUN_MAP,
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
            if not isinstance(value, bytes | str | int | float) or not _is_text(value):
                raise OptionError(f"a map's {key} can't be {value!r:.100}")
        assert isinstance(job, kind)
        job.in_place = not queue.is_async
        return job


def _together(*_told: object) -> None:
    """What a digest of several things is made of, as a partial."""


def _is_text(value: object) -> bool:
    """Whether Redis can have it, if it is a text: surrogates are none."""
    try:
        return not isinstance(value, str) or value.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_real(value: object) -> bool:
    """Whether it is a number, NumPy's too, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < COUNTABLE


def _is_number_or_share(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < 1 if isinstance(value, float) else 0 <= value < COUNTABLE
