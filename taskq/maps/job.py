"""The job that ``Queue.map`` returns: an RQ job that fans out into items."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, overload

from rq.job import JobStatus

from taskq.errors import DamagedError, MapError, ResultsGoneError
from taskq.maps import spans_read
from taskq.maps.chained import Chained
from taskq.maps.collecting import collected, until_end
from taskq.maps.controlled import ENDED
from taskq.maps.counting import count_of, counted
from taskq.maps.doubts import not_in_time
from taskq.maps.executions import Executions
from taskq.maps.failures import Failures
from taskq.maps.gathering import Gathering
from taskq.maps.info import MapInfo
from taskq.maps.outage import GoesOnError, rides_out
from taskq.maps.reader import AtEnd, discarded, replaced
from taskq.maps.result_type import R
from taskq.maps.values import Errors, check_errors
from taskq.payload.outcome import ItemFailure, add_note
from taskq.payload.signed_job import SignedJob
from taskq.redis import keys
from taskq.redis.kinds import MAP, kind_of, mark_of, schema_of
from taskq.redis.patience import clear_errors
from taskq.redis.schema import SCHEMA
from taskq.result_list import ResultList
from taskq.views import forms
from taskq.views.escaped import escaped
from taskq.views.progress_bar import Move, Show, bar

_MARK = keys.JOB_KIND.encode()


class MapJob(Chained[R]):
    """A map: one RQ job, many items, one list of results.

    Made by ``Queue.map``; fetched later, in any process, with ``Queue.fetch_job(id)`` or ``MapJob.fetch``.
    RQ's own attributes and methods keep RQ's meaning: ``return_value()`` is a small summary of the map.
    """

    kind = MAP

    schema = SCHEMA
    """Of its producer: see ``taskq/redis/schema.py``."""

    @staticmethod
    def is_of(fields: Mapping[bytes, bytes]) -> bool:
        """Whether a raw RQ job hash is a map's."""
        return _MARK in fields and kind_of(fields).name == MAP

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_dict(include_meta=include_meta, include_result=include_result)
        made = fields["created_at"]
        fields[keys.JOB_KIND] = mark_of(self.incarnation, self.schema, made) if self.incarnation else self.kind
        return fields

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """As RQ's.

        Raises:
            ReplacedError: If the job's id was pushed again since this object was made.
        """
        kind = kind_of(raw_data)
        if self.incarnation and kind.incarnation != self.incarnation:
            raise replaced(self.id)
        super().restore(raw_data)
        self.incarnation = kind.incarnation  # "" of a plain job: so RQ fetches what a map depends on
        self.schema = schema_of(raw_data)

    # -- waiting -------------------------------------------------------------------------------------

    @clear_errors
    def successful(self) -> bool:
        """Whether every item has a result.

        Raises:
            MapError: If the map has not ended yet.
            ResultsGoneError: If nothing is known of it any more.
            ReplacedError: If its id was pushed again.
        """
        status = self.status_now()
        if status is None:
            raise self._gone()
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

        Raises:
            ServerError: If the server refuses, or can't be reached for 30 seconds; or, at the end of a shorter
                timeout, if it can't be reached then. One that takes what is said to it, and answers nothing (its
                machine is frozen), is noticed by that alone, after two minutes at most, whatever the timeout.
            ReplacedError: If the map's id was pushed again.
            NestedWaitError: If this is an item, or a job, that would hold a process which the map may need.
            DamagedError: If the job's status in Redis is none of RQ's.

        That it can't be reached, or nobody works on the map (no worker listens on its queue, no scheduler runs for
        its retry), is said once on stderr.
        """
        if not progress:
            return until_end(self, timeout, self._doubts.begin(for_ever=timeout is None))
        with bar(self._name(), progress) as move:
            doubts = self._doubts.begin(for_ever=timeout is None)
            ended = until_end(self, timeout, doubts, lambda: move(self.progress))
            self._show(move)
            return ended

    @rides_out
    def _name(self) -> str:
        return self.store.glance().name

    @rides_out
    def _show(self, move: Move) -> None:
        if self.store.exists():
            move(self.progress)

    # -- results -------------------------------------------------------------------------------------

    @overload
    def get(
        self, timeout: float | None = None, errors: Literal["raise"] = "raise", progress: Show = False
    ) -> list[R]: ...
    @overload
    def get(
        self, timeout: float | None = None, *, errors: Literal["return"], progress: Show = False
    ) -> list[R | BaseException]: ...
    @overload
    def get(
        self, timeout: float | None, errors: Literal["return"], progress: Show = False
    ) -> list[R | BaseException]: ...
    def get(self, timeout: float | None = None, errors: Errors = "raise", progress: Show = False) -> list[Any]:
        """Wait for the map and return its results in the order of the items, like ``Pool.map``.

        Without a timeout, results are read while the map still runs, unless an item has failed and its error is to
        be raised.

        Args:
            timeout: Seconds to wait; None: for ever.
            errors: ``"raise"`` the first failed item's exception, with the remote traceback as its cause, and a
                note that says of which item it is; or ``"return"`` exceptions in the places of the missing
                results.
            progress: As of ``wait``. Results are read at the end then.

        Raises:
            WaitTimeoutError: If the map has not ended in time; says whether it goes on, or nobody works on it.
            MapFailedError, MapCanceledError: If it ended early; with ``errors="return"`` too, unless
                every item was tried.
            ResultsGoneError: If its keys are gone, or the server has lost a part of them.
            ReplacedError: If its id was pushed again.
            ServerError: As ``wait``; the map can be asked again. What keeps it from going on is said on stderr
                meanwhile: see there.
            NestedWaitError: As ``wait``.
            SignatureError: If there is a secret key, and a result or an error record is not signed with it.
            DamagedError: If the map's keys hold what taskq does not write there.
            OptionError: If the map keeps no results (``results="discard"``): see ``count``.
            ItemError: If a result can't be unpickled in this process; with ``errors="return"``, in its place. And
                if the item raised ``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit`` or ``CancelledError``,
                which is its cause then.
            Exception: Whatever else the first failed item raised.
        """
        check_errors(errors)
        if progress:
            began = time.monotonic()
            if not self.wait(timeout, progress):
                raise not_in_time(self, timeout)
            timeout = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        answer = self._answer(timeout, errors)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def count(self, timeout: float | None = None, progress: Show = False) -> int:
        """Wait for the map, and tell how many of its items have a result, without reading any.

        For what is run for its side effects; of a map with ``results="discard"`` this is what there is.

        Args:
            timeout: Seconds to wait; None: for ever.
            progress: As of ``wait``.

        Raises:
            As ``get``: also whatever the first failed item raised. And never OptionError.
        """
        answer = self._counted(timeout, progress)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @clear_errors
    def _counted(self, timeout: float | None, progress: Show) -> int | BaseException:
        return counted(self, timeout, lambda left: self.wait(left, progress), self._not_whole)

    def _not_whole(self, info: MapInfo) -> BaseException | None:
        if not info.announced:
            return self._lost()
        if first := self._first_failure(info):
            return first.to_raise(self._named(info))
        if not info.complete:
            return self._early_end(info)
        self._check_whole(info)
        return None

    @clear_errors
    def _answer(self, timeout: float | None, errors: Errors) -> list[Any] | BaseException:
        """The results; or an item's own error, which may look like one of the server's and is none."""
        end = partial(self._results, errors=errors)
        doubts = self._doubts.begin(for_ever=timeout is None)
        return collected(self, timeout, doubts, end, despite_failures=errors == "return")

    def answer(self, errors: Errors) -> list[Any] | BaseException:
        """As ``get``, for who has waited for its end otherwise: it neither waits nor rides out outages.

        Returns:
            The results; or the error of the first item that failed, to be raised.

        Raises:
            As ``get``, with redis-py's errors; and ``outage.GoesOnError`` if it has not ended after all.
        """
        info = self.store.info()
        if info.terms.discards:
            raise discarded(self.id)
        return self._results(Gathering(self.store, info.items), errors)

    def answer_count(self) -> int | BaseException:
        """As ``answer``, of ``count``."""
        return count_of(self, self._not_whole)

    def _results(self, gathering: Gathering, errors: Errors) -> list[Any] | BaseException:
        end = self.store.at_end(gathering.spans, spans_read.BATCH)
        if not end.info.announced:
            raise self._lost()
        # Nobody has been given anything yet: if the map changes meanwhile, all is asked and read anew.
        with self._undisturbed(end.info, GoesOnError()):
            return self._wanted(gathering, end, errors) if end.info.enough else self._all(gathering, end, errors)

    def _all(self, gathering: Gathering, end: AtEnd, errors: Errors) -> list[Any] | BaseException:
        """The results of a map all of whose items were wanted."""
        info = end.info
        if errors == "raise" and (first := self.store.first_failure(info)):
            return first.to_raise(self._named(info))
        if errors == "raise" and end.errors:
            raise DamagedError(f"{self.store.keys.errors} holds records, and the map's hash tells of none")
        if not info.complete:
            raise self._early_end(info)
        self._check_whole(info)
        if end.results + end.errors < info.total:
            raise DamagedError(f"{self.store.keys.results} has lost elements: the map has {info.total} items")
        gathering.read_rest(end.spans, end.results)
        if errors == "raise" and gathering.unreadable:
            add_note(gathering.unreadable, f"of {self._named(info)}")
            return gathering.unreadable
        if end.errors:
            for failure in self.store.each_failure():
                gathering.put_failure(failure.index, failure.exception(self._named(info)))
        gathering.prove()
        return gathering.results

    def _wanted(self, gathering: Gathering, end: AtEnd, errors: Errors) -> list[Any] | BaseException:
        """The results of a map that wanted so many, and has them."""
        gathering.read_rest(end.spans, end.results)
        results = gathering.present
        if len(results) != end.info.terms.first:
            raise DamagedError(f"{self.store.keys.results} has {len(results)} of {end.info.done} results")
        if errors == "raise" and gathering.unreadable:
            add_note(gathering.unreadable, f"of {self._named(end.info)}")
            return gathering.unreadable
        return results

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
    def memo_hits(self) -> int:
        """How many items were not run since the memo had their results when the map was pushed."""
        return self.store.info().memo_hits

    @property
    def execution_registry(self) -> Executions:
        """RQ's; also for executions whose record is gone."""
        return Executions(self.id, self.connection)

    def _repr_html_(self) -> str:
        """For a notebook: how far it is, and what has failed of it."""

        def form() -> str:
            info, status = self.store.glance(), self.status_now()
            said = status.value if status else "gone"
            return forms.of_map(self.id, info.name, said, self.progress, self.store.groups())

        return forms.safely(self, form)

    def __repr__(self) -> str:
        try:
            info, status = self.store.glance(), self.status_now()
        except ResultsGoneError:
            return f"<MapJob {self.id} (its keys are gone)>"
        except Exception as error:  # noqa: BLE001 - a repr in a shell must not raise because Redis is away
            return f"<MapJob {self.id} ({type(error).__name__}: {error})>"
        ended = f", {status.value}" if status in ENDED else ""
        name = escaped(info.name)
        return f"<MapJob {self.id} {name} {info.done}/{info.items_text} done, {info.failed} failed{ended}>"

    __str__ = __repr__


SignedJob.map_class = MapJob
