"""Follows a map from a terminal: results to stdout as they come, progress to stderr, an exit code at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rq.exceptions import InvalidJobOperation
from rq.job import JobStatus

from taskq.errors import ItemError
from taskq.maps import doubts
from taskq.maps.arrivals import Arrival, Arrivals
from taskq.maps.doubts import Doubts
from taskq.maps.info import MapInfo
from taskq.maps.job import MapJob
from taskq.maps.outage import GoesOnError
from taskq.maps.proof import prove
from taskq.maps.values import final
from taskq.maps.waiting import Events
from taskq.payload.outcome import ItemFailure
from taskq.payload.results import Place, value_of
from taskq.views.progress_bar import Show, bar
from taskq_workers import user_path
from taskq_workers.cli import exits
from taskq_workers.cli.said import put_line, say
from taskq_workers.json_lines import line_of, to_json

_PACE = 0.1  # seconds between two looks, while there is progress


@dataclass
class Following:
    """How to follow a map.

    Args:
        as_completed: Instead of in the order of the items.
        values: Bare values instead of objects; null for a failed item, if in order.
        progress: As for ``MapJob.wait``.
        wait: Until the map has ended; else only what there is.
        cancel: On Ctrl-C, instead of leaving the map running.
        start: Passes over so many items; or results, if as completed.
    """

    as_completed: bool = False
    values: bool = False
    progress: Show = True
    wait: bool = True
    cancel: bool = False
    start: int = 0
    _unread: int = field(default=0, init=False)  # results that this process can't unpickle

    def run(self, job: MapJob) -> int:
        """Follow the map to its end; returns the exit code.

        Raises:
            ResultsGoneError: If the server has lost the push; or some of what was written, and has others in their
                places.
            DamagedError: If the map says that it is complete, and an item has neither a result nor an error, or
                both.
        """
        try:
            self._follow(job)
        except KeyboardInterrupt:
            return self._interrupted(job)
        except BrokenPipeError:
            # Python flushes stdout at its end, and would complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _say_how_to_come_back(job)
            return exits.PIPE_CLOSED
        return self._ended(job)

    def _follow(self, job: MapJob) -> None:
        info, show = job.store.info(), self.progress if self.wait else False
        reading = Arrivals(
            job.store, in_order=not self.as_completed, start=self.start, discards=info.terms.discards
        )
        with bar(info.name, show) as move, Events(job.connection, job.store.keys) as events:
            watch = _warned(job) if self.wait else Doubts(job)
            while True:
                ended = job.ready()  # asked before reading: nothing is added after the end
                failures = final(job, ended=ended)
                self._write_all(reading.new(failures=failures, ended=not self.wait), job)
                if job.store.exists():
                    move(job.progress)
                if not self.wait or (ended and self._is_all(reading, job)):
                    break
                if not ended:
                    events.next(pace=_PACE, on_quiet=watch.look)
            if self.wait:  # what has no outcome now will have none
                self._write_all(reading.new(failures=failures, ended=True), job)
        self._is_all(reading, job)

    @staticmethod
    def _is_all(reading: Arrivals, job: MapJob) -> bool:
        """Whether nothing more has come; raises as ``Arrivals.check``."""
        return not job.store.exists() or reading.check()

    def _write_all(self, arrivals: Iterable[Arrival], job: MapJob) -> None:
        for arrival in arrivals:
            self._write(arrival, job.store.place)
        sys.stdout.flush()

    def _write(self, arrival: Arrival, place: Place) -> None:
        with user_path.in_front([str(Path.cwd())]):  # where values of the user's own classes find their modules
            line = self._line(arrival, place)
        if line is not None:
            put_line(line)

    def _line(self, arrival: Arrival, place: Place) -> str | None:
        value: Any = None
        if arrival.failure is None:
            try:
                value = value_of(place, arrival.index, arrival.data)
            except ItemError as error:  # of a class that this process can't import
                arrival = Arrival(arrival.index, failure=ItemFailure(arrival.index, "ItemError", str(error)))
                say(f"taskq: {error}")
                self._unread += 1
        if not self.values:
            return line_of(arrival, value)
        return to_json(value) if arrival.failure is None or not self.as_completed else None

    def _interrupted(self, job: MapJob) -> int:
        if self.cancel:
            with suppress(InvalidJobOperation):  # somebody else was quicker
                job.cancel()
            say(f"taskq: the map {job.id} was cancelled ({job.progress})")
        else:
            _say_how_to_come_back(job)
        return exits.INTERRUPTED

    def _ended(self, job: MapJob) -> int:
        if not job.store.exists():
            say(f"taskq: the map {job.id} has ended, and kept no results (result_ttl)")
            return exits.OK if job.get_status() in (None, "finished") else exits.ENDED_EARLY
        info = job.store.info()
        if not info.announced:
            raise job._lost()  # noqa: SLF001 - as below
        if not info.complete and (self.wait or job.ready()):
            return _ended_early(job, info)
        if info.complete:
            # Else there may have been fewer lines than items, and nobody would know.
            prove(job.store, discards=info.terms.discards)
        if info.failed and not info.enough:
            say(
                f"taskq: {info.failed} of {info.items} items failed; see them grouped: taskq show {job.id}; "
                f"run them again: taskq retry {job.id}"
            )
            return exits.ITEMS_FAILED
        if info.complete and info.reason and job.get_status() == JobStatus.FAILED:
            say(f"taskq: every item has its result, but the map failed: {info.reason}")
            return exits.ITEMS_FAILED
        return exits.ITEMS_FAILED if self._unread else exits.OK


def _ended_early(job: MapJob, info: MapInfo) -> int:
    try:
        say(f"taskq: {job._early_end(info)}")  # noqa: SLF001 - one wording for all
    except GoesOnError:
        say(f"taskq: the server came back as it was before the map {job.id} had ended, and the map goes on")
        _say_how_to_come_back(job)
    return exits.ENDED_EARLY


def _say_how_to_come_back(job: MapJob) -> None:
    say(f"taskq: the map goes on ({job.progress}); come back to it with: taskq attach {job.id}")


def _warned(job: MapJob) -> Doubts:
    """Say at once if nobody works on it, for whoever sits at the terminal; what is found later is said then."""
    if found := doubts.of(job):
        say(f"taskq: {found}")
    return Doubts(job, found)


def follow_options(function: Any) -> Any:
    """The options of ``taskq map``, ``attach`` and ``results`` for what is written."""
    for option in (
        click.option("--values", is_flag=True, help="Print bare values; a failed item is null, or left out if "
                     "--as-completed."),
        click.option("--as-completed", is_flag=True, help="Print results as they come, not in the items' order."),
    ):  # fmt: skip
        function = option(function)
    return function


def start_option(function: Any) -> Any:
    """The option of ``taskq attach`` and ``results`` for where to begin."""
    words = "Pass over the first N items, or results if --as-completed: they were read before."
    return click.option("--start", type=click.IntRange(min=0), default=0, metavar="N", help=words)(function)


def wait_options(function: Any) -> Any:
    """The options of ``taskq map`` and ``attach`` for what is shown, and what Ctrl-C does."""
    for option in (
        click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the map instead of leaving it."),
        click.option("--progress/--no-progress", default=None, help="Show progress on stderr. [default: if it is "
                     "a terminal; --progress elsewhere: a line every five seconds]"),
    ):  # fmt: skip
        function = option(function)
    return function


def show_of(progress: bool | None) -> Show:
    """``--progress`` as ``MapJob.wait`` has it."""
    return True if progress is None else ("always" if progress else False)
