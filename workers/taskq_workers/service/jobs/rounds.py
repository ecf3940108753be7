"""Looks after the maps of a service, once a second: others complete and close them, and no event may tell of it.

One round trip tells which of them have been; these are seen to at once. Whether all items of a map of which
nothing is in hand here are still somewhere takes several round trips: that is asked of a few maps at a time, in
turn. So a message that was lost costs a second, however many maps there are. What nobody holds any more is found
in a second beside up to ``CHECKED`` maps that rest, and in 50 where a service owns as many as it may.
"""

from __future__ import annotations

from typing import Any

from rq.job import Job, JobStatus

from taskq.maps import caps
from taskq.redis import checked, keys
from taskq.redis.keys import MapField
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import chains, closing, orphans
from taskq_workers.service.rq.job import ServiceJob

CHECKED = 20
"""Maps of which nothing is in hand that are looked at in a second; each costs some seven round trips."""

_FIELDS = (
    MapField.INCARNATION, MapField.STATE, MapField.TOTAL, MapField.DONE, MapField.FAILED, MapField.LEASE,
    MapField.ORPHANED, MapField.MAX_RUNNING, MapField.RATE, MapField.PAUSED,
)  # fmt: skip


class Rounds:
    """Goes round the maps of one service."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._next = 0

    def look(self) -> None:
        """To be called about once a second.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached.
        """
        state = self._state
        if not (runs := [run for run in state.maps if not (run.closed or run.complete)]):
            return
        replies, canceled = self._ask(runs)
        goes_on = {run: _goes_on(run, reply) for run, reply in zip(runs, replies, strict=True)}
        for run in (run for run in canceled if goes_on[run]):
            goes_on[run] = False
            with run.guarded():
                run.store.cancel()
        for run, reply in zip(runs, replies, strict=True):
            if goes_on[run] and run.info.terms.max_failures >= 0:  # whoever has counted the last may have died
                run.too_many = run.info.terms.too_many(checked.count(reply[4]), checked.count(reply[2]))
            if goes_on[run] and not run.guest and run.info.terms.source:
                with run.guarded():
                    chains.look(state, run)
            elif goes_on[run] and not run.guest and orphans.is_one(run, *reply[5:7]):
                with run.guarded():
                    orphans.look(state, run)
        rest = [run for run in runs if goes_on[run] and not (run.guest or run.held)]
        for run in [*(run for run in runs if not goes_on[run]), *self._turn(rest)]:
            with run.guarded():
                closing.look(state, run)

    def _ask(self, runs: list[MapRun]) -> tuple[list[Any], list[MapRun]]:
        """What the hash of each says; and those of our own whose job says that it was cancelled."""
        own = [run for run in runs if not run.guest]
        with self._state.connection.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hmget(run.store.keys.hash, _FIELDS)
            for run in own:
                pipe.hmget(run.job.key, keys.JOB_KIND, "status")
            replies = pipe.execute(raise_on_error=False)
        jobs = zip(own, replies[len(runs) :], strict=True)
        return replies[: len(runs)], [run for run, reply in jobs if _was_canceled(run.job, reply)]

    def _turn(self, runs: list[MapRun]) -> list[MapRun]:
        """Those of the maps that rest which are looked at this time."""
        if len(runs) <= CHECKED:
            return runs
        first = self._next % len(runs)
        self._next = first + CHECKED
        return [*runs, *runs][first : first + CHECKED]


def _was_canceled(job: Job, reply: Any) -> bool:
    """Whether somebody has cancelled this job with a tool of RQ's, which knows nothing of the map's keys."""
    return isinstance(job, ServiceJob) and bool(reply == [job.mark.encode(), JobStatus.CANCELED.value.encode()])


def _goes_on(run: MapRun, reply: Any) -> bool:
    """Whether the map is open, not complete, and as it was told; not, if that can't be read.

    Nor if it is paused while something of it is in hand: then the message that said so was not heard.
    """
    if isinstance(reply, Exception):
        return False
    (incarnation, state, *numbers), told, paused = reply[:5], reply[7:9], reply[9]
    if paused is not None and run.in_hand:
        return False
    try:
        as_told = caps.read(*map(checked.text, told)) == run.info.caps
        total, done, failed = (int(number or 0) for number in numbers)
    except ValueError:
        return False
    there = incarnation == run.store.keys.incarnation.encode() and state == b"open"
    return as_told and there and done + failed < total and not run.info.terms.enough(done)
