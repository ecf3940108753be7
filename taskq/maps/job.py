"""The job that ``Queue.map`` returns: an RQ job that fans out into items."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from rq.job import JobStatus

from taskq.errors import (
    DamagedError,
    ItemError,
    MapCanceledError,
    MapError,
    MapFailedError,
    OptionError,
    ResultsGoneError,
    WaitTimeoutError,
)
from taskq.maps.completed import Completed, came_back_older
from taskq.maps.control import CANCELED, MapControl
from taskq.maps.failures import Failures
from taskq.maps.gathering import SPANS, Gathering
from taskq.maps.info import MapInfo
from taskq.maps.waiting import Events
from taskq.payload.outcome import ItemFailure, add_note
from taskq.payload.signed_job import SignedJob
from taskq.redis import clock, keys
from taskq.redis.kinds import HELPER
from taskq.redis.patience import clear_errors
from taskq.result_list import ResultList
from taskq.views import activity
from taskq.views.escaped import escaped
from taskq.views.progress import Progress
from taskq.views.progress_bar import Show, bar

_CANCELED = frozenset({JobStatus.CANCELED, JobStatus.STOPPED})
ENDED = frozenset({JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED})

_REDRAW = 0.1  # seconds between two looks of the progress bar
_READ = (0.05, 0.005, 1.0)  # seconds until a look for new results: the first, one after much came, and at most
_MUCH = 0.01  # seconds it takes to read

Errors = Literal["raise", "return"]


class MapJob(MapControl):
    """A map: one RQ job, many items, one list of results.

    Made by ``Queue.map``; fetched later, in any process, with ``Queue.fetch_job(id)`` or ``MapJob.fetch``.
    RQ's own attributes and methods keep RQ's meaning: ``return_value()`` is a small summary of the map.
    """

    # -- waiting -------------------------------------------------------------------------------------

    @clear_errors
    def ready(self) -> bool:
        """Whether the map has ended: finished, failed, stopped or cancelled (not: waits for a retry)."""
        status = self._status_now()
        return status is None or status in ENDED

    @clear_errors
    def successful(self) -> bool:
        """Whether every item has a result.

        Raises:
            MapError: If the map has not ended yet.
            ResultsGoneError: If nothing is known of it any more.
        """
        status = self._status_now()
        if status is None:
            raise ResultsGoneError(
                f"the job {self.id} is no longer in Redis: it expired (result_ttl), or was deleted"
            )
        if status not in ENDED:
            raise MapError(f"the map {self.id} has not ended yet: it is {status.value}")
        return status == JobStatus.FINISHED

    @clear_errors
    def wait(self, timeout: float | None = None, progress: Show = False) -> bool:
        """Wait until the map has ended, or for ``timeout`` seconds (None: for ever).

        Args:
            timeout: Seconds.
            progress: True: show a progress bar, on stderr if that is a terminal, or in a notebook.
                ``"always"``: where nobody looks, a line every five seconds on stderr.

        Returns:
            Whether the map has ended. The server says when; nothing is polled faster than once a second.
        """
        if not progress:
            return self._wait(timeout)
        with bar(self.store.glance().name, progress) as move:
            ended = self._wait(timeout, lambda: move(self.progress))
            if self.store.exists():
                move(self.progress)
            return ended

    def _wait(self, timeout: float | None, on_progress: Callable[[], object] | None = None) -> bool:
        with Events(self.connection, self.store.keys, timeout, progress=on_progress is not None) as events:
            while not self.ready():
                if on_progress:
                    on_progress()
                if not events.next(pace=_REDRAW):
                    return self.ready()
        return True

    def _status_now(self) -> JobStatus | None:
        """RQ's status of the job; None if the job is gone (which is how ``result_ttl=0`` ends)."""
        status: Any = self.connection.hget(self.key, "status")
        try:
            return JobStatus(status.decode()) if status else None
        except ValueError as error:
            raise DamagedError(f"the status of the job {self.id} is {status!r:.80}") from error

    # -- results -------------------------------------------------------------------------------------

    @clear_errors
    def get(self, timeout: float | None = None, errors: Errors = "raise") -> list[Any]:
        """Wait for the map and return its results in the order of the items, like ``Pool.map``.

        Without a timeout, results are read while the map still runs, unless an item has failed and its error is to
        be raised.

        Args:
            timeout: Seconds to wait; None: for ever.
            errors: ``"raise"`` the first failed item's exception, with the remote traceback as its cause, and a
                note that says of which item it is; or ``"return"`` exceptions in the places of the missing
                results.

        Raises:
            WaitTimeoutError: If the map has not ended in time. It goes on.
            MapFailedError, MapCanceledError: If it ended early; with ``errors="return"`` too, unless
                every item was tried.
            ResultsGoneError: If its keys are gone, or the server has lost a part of them.
            ReplacedError: If its id was pushed again.
            ServerError: If the server can't be reached; the map goes on, and can be asked again.
            SignatureError: If there is a secret key, and a result or an error record is not signed with it.
            DamagedError: If the map's keys hold what taskq does not write there.
            ItemError: If a result can't be unpickled in this process; with ``errors="return"``, in its place. And
                if the item raised ``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit`` or ``CancelledError``,
                which is its cause then.
            Exception: Whatever else the first failed item raised.
        """
        _check_errors(errors)
        gathering = self._gather(timeout, despite_failures=errors == "return")
        if gathering is None:
            raise WaitTimeoutError(
                f"the map {self.id} has not ended within {timeout} s ({self.progress}); it goes on"
            )
        end = self.store.at_end(gathering.spans, SPANS)
        info = end.info
        if not info.announced:
            raise self._lost()
        if errors == "raise" and (first := self.store.first_failure(info)):
            raise first.to_raise(self._named(info))
        if not info.complete:
            raise self._early_end(info)
        if end.results + end.errors < info.total:
            raise DamagedError(f"{self.store.keys.results} has lost elements: the map has {info.total} items")
        with self._undisturbed():
            gathering.read_rest(end.spans, end.results)
            if errors == "raise" and gathering.unreadable:
                add_note(gathering.unreadable, f"of {self._named(info)}")
                raise gathering.unreadable
            if end.errors:
                for failure in self.store.each_failure():
                    gathering.put_failure(failure.index, failure.exception(self._named(info)))
            gathering.prove()
        return gathering.results

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Tell damage that the body meets from what is none: the map is not what it was when the body began.

        Raises:
            ResultsGoneError, ReplacedError: If it was deleted or pushed again, or the server came back as it was
                some moments before.
        """
        try:
            yield
        except DamagedError as error:
            if not self.store.info().complete:
                raise came_back_older(self.id) from error
            raise

    def _named(self, info: MapInfo) -> str:
        return f"the map {self.id} ({escaped(info.name)})"

    def _lost(self) -> ResultsGoneError:
        return ResultsGoneError(
            f"the map {self.id} is lost: the server came back as it was before the push was over. Push it again"
        )

    def _gather(self, timeout: float | None, *, despite_failures: bool) -> Gathering | None:
        """Wait, and read results as they come meanwhile; None if the map has not ended in time.

        With a timeout nothing is read ahead: what was read would be lost with it, and read again the next time.
        """
        first, again, last = _READ
        gathering, pace = Gathering(self.store, self.store.info().total), first if timeout is None else last
        with Events(self.connection, self.store.keys, timeout, progress=False) as events:
            while not self.ready():
                if not events.next(look_again=pace):
                    return gathering if self.ready() else None
                if events.told_end:
                    continue  # what is left is read together with what else there is to know then
                if timeout is not None or (self.store.failed() and not despite_failures):
                    pace = last  # nothing is to be read before the end
                    continue
                began = time.monotonic()
                gathering.read_all()
                # What is read in no time can wait: the look itself takes time from those who work.
                pace = again if time.monotonic() - began > _MUCH else min(2 * pace, last)
        return gathering

    @clear_errors
    def __getitem__(self, position: int) -> Any:
        """The result that completed as number ``position`` (from 0); waits for it.

        This is what ``for value in job`` uses: values as they complete. A failed item does not stop the
        others: its exception is raised after the last value, as by ``get``. There is no ``__iter__``, since
        RQ takes everything that has one for a list of jobs (``depends_on=job``).

        Raises:
            IndexError: If the map ended with fewer results.
            Exception: Instead of that, whatever the first failed item raised.
        """
        if position < 0:
            raise OptionError("results are counted from 0, in the order of completion; use job.result_list[-1]")
        if not hasattr(self, "_completed"):
            self._completed = Completed(self.store)
        with Events(self.connection, self.store.keys) as events:
            while not self._completed.has(position):
                # Asked before it is read again: nothing is added after the end.
                if self.ready() and not self._completed.has(position):
                    raise self._end_of_results()
                events.next()
        try:
            return self._completed.value(position)
        except ItemError as error:
            add_note(error, f"of {self._named(self.store.glance())}")
            raise
        except ResultsGoneError:
            del self._completed  # who reads again gets what there is now
            raise

    def _end_of_results(self) -> BaseException:
        info = self.store.info()
        if not info.announced:
            return self._lost()
        if failure := self.store.first_failure(info):
            # A loop would take these two for its regular end.
            return failure.to_raise(self._named(info), (IndexError, StopIteration))
        if not info.complete:
            return self._early_end(info)
        try:
            with self._undisturbed():
                self._completed.prove(info)
        except ResultsGoneError:
            del self._completed  # as above
            raise
        return IndexError(f"the map has {info.done} results")

    def _early_end(self, info: MapInfo) -> MapError:
        status = self._status_now()
        if status in _CANCELED or info.reason == CANCELED:
            return MapCanceledError(f"the map {self.id} was cancelled with {info.done} of {info.total} items done")
        latest = self.latest_result()
        why = info.reason or (latest.exc_string if latest else "") or "no reason was recorded"
        return MapFailedError(f"the map {self.id} failed with {info.done} of {info.total} items done: {why}")

    @property
    def result_list(self) -> ResultList:
        """The results so far, in the order of completion: a live list in Redis."""
        known = self.store.known
        return ResultList(known.results, self.connection, known.incarnation)

    @property
    def errors(self) -> Mapping[int, ItemFailure]:
        """What failed so far: item index -> record, by index; records are read as they are asked for."""
        return Failures(self.store)

    @property
    @clear_errors
    def progress(self) -> Progress:
        """How far the map is, now."""
        info = self.store.glance()
        now = info.ended or clock.ask(self.connection)
        busy, cores = (0, 0) if info.ended or info.complete else activity.cores_on(self.connection, self.id)
        return Progress.since(info.started, now, info.done, info.failed, info.total, busy, cores)

    def __repr__(self) -> str:
        try:
            info, status = self.store.glance(), self._status_now()
        except ResultsGoneError:
            return f"<MapJob {self.id} (its keys are gone)>"
        except Exception as error:  # noqa: BLE001 - a repr in a shell must not raise because Redis is away
            return f"<MapJob {self.id} ({type(error).__name__}: {error})>"
        ended = f", {status.value}" if status in ENDED else ""
        name = escaped(info.name)
        return f"<MapJob {self.id} {name} {info.done}/{info.total} done, {info.failed} failed{ended}>"

    __str__ = __repr__


def _check_errors(errors: str) -> None:
    if errors not in ("raise", "return"):
        raise OptionError(f'errors must be "raise" or "return", not {errors!r}')


class HelperJob(SignedJob):
    """The RQ job by which a map asks an idle service to join in; see docs/architecture.md."""

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_dict(include_meta=include_meta, include_result=include_result)
        fields[keys.JOB_KIND] = " ".join((HELPER, *self.args))
        return fields
