"""The one pipeline of a turn: commits, claims and the reserve of new jobs, in a single round trip."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import rq
from redis.exceptions import NoScriptError

from taskq.maps import surplus
from taskq.maps.deaths import of_part, settled
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part
from taskq.redis import limits
from taskq_workers.service.core.damage import contained, is_damage, mend
from taskq_workers.service.core.execution import MapRun, Wounded
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import casualties, chains, copies, guests, planning, quarantine, short_path
from taskq_workers.service.jobs.short_path import Batch, QuickJob
from taskq_workers.service.rq import own_keys
from taskq_workers.service.upkeep import mirror

log = logging.getLogger(__name__)

_WAIT = 1.0  # seconds at a time for which the server waits for replicas; all else of this service waits with it

Refused = Callable[[Exception], None]
Handler = tuple[MapRun | Batch | None, Callable[[Any], None], Refused | None]
"""Whose reply it is, what to do with it, and what else to do, than giving up the map, if it can't be said."""


@dataclass
class Exchange:
    """What one turn says to Redis, and what it hears.

    Args:
        ask: The queues may hold jobs, and are asked for them as far as these come before the maps that run.
        others: Job ids that were taken, and are to be begun by the caller, on the long path.
        begun: Whether plain jobs were begun.
        empty: The queues were asked and hold nothing more, as far as this service may know.
        news: What waits in the queues is not what it was taken for.
    """

    state: State
    ask: bool
    others: list[tuple[rq.Queue, str]] = field(default_factory=list)
    begun: bool = False
    empty: bool = False
    news: bool = False
    _takes: planning.Takes = field(default=planning.Takes(), init=False)
    _claims: Counter[MapRun] = field(default_factory=Counter, init=False)  # that are asked for
    _unknown: bool = field(default=False, init=False)  # the server did not know a script
    _repeated: bool = field(default=False, init=False)

    def run(self) -> bool:
        """Exchange; returns whether anything was said.

        Raises:
            redis.exceptions.RedisError: If the server can't be reached or refuses. Nothing is lost: what is to
                be committed is kept, and a commit which had come through is refused the second time.
        """
        state = self.state
        self._claims.clear()
        self._takes = planning.takes(state) if self.ask and not state.behind else planning.Takes()
        if self.ask and state.polls and not state.behind:
            self.empty = not state.jobs_waiting
        with state.connection.pipeline(transaction=False) as pipe:
            handlers: list[Handler] = [
                *self._queue_commits(pipe),
                *self._queue_wounded(pipe),
                *self._queue_refusals(pipe),
                *self._queue_finish(pipe),
            ]
            written = bool(handlers)
            handlers += [
                *self._queue_claims(pipe),
                *self._queue_copies(pipe),
                *self._queue_room(pipe),
                *self._queue_take(pipe),
                *self._queue_wait(pipe, written=written),
            ]
            if not handlers:
                return False
            replies, broke = state.speech.say(state.connection, pipe)
        failed = [error for handler, reply in zip(handlers, replies, strict=False)
                  if (error := self._hear(handler, reply))]  # fmt: skip
        if broke:
            state.unsure = True  # what was said last may have been done, and what came after it was not said
            raise broke
        if failed:
            raise failed[-1]
        if self._unknown and not self._repeated:
            self._repeated = True
            self.run()  # what was not run is said again, once: no event may come that has it said
        return True

    def _hear(self, handler: Handler, reply: Any) -> Exception | None:
        """Act on a reply; returns what is not about one map or job, but about the server."""
        state, (run, handle, refused) = self.state, handler
        try:
            if isinstance(reply, Exception):
                raise reply
            handle(reply)
        except NoScriptError:
            state.scripts.load()  # the server was restarted; what it did not run is said again
            self._unknown = True
        except Exception as error:  # noqa: BLE001 - all are raised but what costs one map only
            if limits.says_refusal(error):
                self._refused(run, refused, error)
            elif not is_damage(error):
                return error
            elif not (mend(state.scripts) or own_keys.mend(state.worker, (one.execution for one in state.taken))):
                self._damaged(run, error)
        return None

    def _refused(self, run: MapRun | Batch | None, refused: Refused | None, error: Exception) -> None:
        """What can't be said costs what it is about."""
        log.error("can't be said to Redis: %s", error, extra={"action": "refused"})
        if refused is not None:
            refused(error)
        else:
            self._damaged(run, error)

    def _damaged(self, run: MapRun | Batch | None, error: Exception) -> None:
        if run is not None:
            run.break_off(error)
        if isinstance(run, MapRun):
            return
        self.state.unsure = True  # a script may have come half way
        with contained("a queue"):
            raise error

    # -- commits ---------------------------------------------------------------------------------------

    def _queue_commits(self, pipe: Any) -> list[Handler]:
        handlers: list[Handler] = []
        for run in self.state.active:
            for ended in run.ended:
                claim, outcome, note = ended
                pause = run.pause_after(claim) if outcome.again else 0.0
                run.store.commit(claim, outcome, note, pipe, run.info.terms, pause=pause)
                committed = partial(self._committed, run, ended, pause)
                handlers.append((run, committed, partial(self._not_taken, run, ended)))
                if outcome.rest and not run.pending:
                    guests.say_work(pipe, run)
                    handlers.append((None, _nothing, None))
        return handlers

    def _committed(self, run: MapRun, ended: Any, pause: float, reply: Any) -> None:
        run.ended.remove(ended)
        totals = run.store.read_commit(reply)
        if totals.committed:
            run.complete, run.looked, run.done = totals.complete, time.monotonic(), totals.done
            if not run.single or run.resumes is None:  # else its rate has said when more may be claimed
                run.pending = totals.pending
            if ended[1].again:
                due = time.monotonic() + pause
                run.resumes = due if run.resumes is None else min(run.resumes, due)
            self.state.committed(run, *ended)
            if totals.followers:
                chains.note(self.state, run, totals.followers)
            if totals.failed:
                run.too_many = run.info.terms.too_many(totals.failed, totals.total)
        elif totals.room:
            claim, outcome, note = ended
            run.ended.append((claim, surplus.without(outcome, claim, totals.room), note))
            self._unknown = True  # it is said again at once, as what the server has not run
        else:
            run.look = True  # the map was closed, or has enough, or we were given up for dead

    def _not_taken(self, run: MapRun, ended: Any, error: Exception) -> None:
        """Have half of it tried at a time: the item whose outcome can't be stored fails, when it is alone."""
        claim, outcome, note = ended
        run.ended.remove(ended)
        if len(claim.to_do) > 1:
            within, noted = claim.header.within, claim.deaths
            parts = tuple((half, of_part(noted, alone=len(within(half)) == 1)) for half in claim.halves())
            again = Wounded(claim, 0, None, outcome.started, outcome.seconds, parts)
            run.wounded.append(again)
            return
        failure = ItemFailure.not_stored(claim.to_do[0], str(error), note.host)
        left = [Part(claim.range)]
        run.ended.append(
            (claim, ChunkOutcome([], [], [failure], outcome.started, outcome.seconds, left=left), note)
        )

    # -- chunks that killed a process ------------------------------------------------------------------

    def _queue_wounded(self, pipe: Any) -> list[Handler]:
        """Give them back before claims are made, so that they are tried again at once, and first."""
        handlers: list[Handler] = []
        for run in self.state.active:
            for wounded in run.wounded:
                claim, deaths = wounded.claim, wounded.deaths
                if wounded.note is not None:
                    run.store.note_death(claim, wounded.note, wounded.began, wounded.seconds, pipe)
                    handlers.append((run, _nothing, None))
                if wounded.parts:
                    run.store.divide(claim, wounded.parts, pipe)
                else:
                    run.store.release([(claim, deaths)], pipe)
                handlers.append((run, partial(self._given_back, run, wounded), None))
            run.pending += len(run.wounded)
        return handlers

    def _given_back(self, run: MapRun, wounded: Any, _reply: Any) -> None:
        run.wounded.remove(wounded)
        if wounded.note is not None:
            self.state.meter.count("taskq_chunk_reruns", "process")

    def _queue_refusals(self, pipe: Any) -> list[Handler]:
        handlers: list[Handler] = []
        for run in self.state.active:
            if run.unsaid is not None and not run.closed:
                run.store.refuse(run.unsaid, pipe)
                handlers.append((run, partial(self._refusal_said, run), None))
        return handlers

    def _refusal_said(self, run: MapRun, said: int) -> None:
        run.unsaid = None
        if said:
            self.state.told.add((run.store.keys.id, run.store.keys.incarnation))

    # -- claims ----------------------------------------------------------------------------------------

    def _queue_claims(self, pipe: Any) -> list[Handler]:
        if self.state.stopping or self.state.suspended or self.state.lanes.trouble or self.state.behind:
            return []
        if quarantine.is_secluded(self.state):
            return []
        handlers: list[Handler] = []
        for run, count in planning.claims(self.state, beside_jobs=bool(self._takes.room)):
            if count > 0:
                self._claims[run] = count
                run.store.claim(self.state.name, count, pipe)
                run.looked = time.monotonic()
                handlers.append((run, partial(self._claimed, run), None))
            elif count < 0:
                back = [run.ready.pop() for _ in range(-count)]
                run.store.release([(claim, settled(claim.deaths)) for claim in back], pipe)
                handlers.append((run, _nothing, None))
                if not run.pending:
                    guests.say_work(pipe, run)
                    handlers.append((None, _nothing, None))
                run.pending += len(back)
        return handlers

    def _queue_copies(self, pipe: Any) -> list[Handler]:
        """Claim a second time what runs too long, if nothing else is to be done, and no job may come meanwhile."""
        if self.state.stopping or self.state.suspended or self.state.lanes.trouble or self.state.behind:
            return []
        if quarantine.is_secluded(self.state) or self._takes.room:
            return []
        handlers: list[Handler] = []
        for run, count in copies.wanted(self.state):
            run.store.copy(self.state.name, count, pipe)
            handlers.append((run, partial(copies.claimed, self.state, run), None))
        return handlers

    def _queue_room(self, pipe: Any) -> list[Handler]:
        """Tell others that more of a map may run, where that was as much as may and we leave some of it."""
        handlers: list[Handler] = []
        for run in self.state.active:
            if run.info.caps.max_running and len(run.ended) + len(run.wounded) > self._claims[run]:
                guests.say_work(pipe, run)
                handlers.append((None, _nothing, None))
        return handlers

    def _claimed(self, run: MapRun, reply: Any) -> None:
        answer = run.store.read_claims(reply, self.state.name)
        run.pending, run.single = answer.pending, answer.single
        run.resumes = None if answer.wait is None else time.monotonic() + answer.wait
        for claim in answer.claims:
            claim.to_do  # noqa: B018 - read here, where it costs only this map if its body has no header
        if run.refused:  # meanwhile
            run.hand_back(answer.claims)
        else:
            run.ready.extend(casualties.sift(self.state, run, answer.claims))
        run.look = answer.state != "open"

    # -- replicas ---------------------------------------------------------------------------------------

    def _queue_wait(self, pipe: Any, *, written: bool) -> list[Handler]:
        """Have the server wait until replicas have what this connection has written, if they are to.

        It waits for the last write of a connection; on another one there is nothing to wait for, but then the
        server was away, and what it still knows is looked at anyway.
        """
        least = self.state.settings.min_replicas
        if not least or not (written or self.state.behind):
            return []
        pipe.execute_command("WAIT", least, int(_WAIT * 1000))
        return [(None, self._waited, None)]

    def _waited(self, reply: int) -> None:
        state = self.state
        least = state.settings.min_replicas
        behind = "" if reply >= least else f"{reply} of {least} replicas have what was committed"
        if bool(behind) != bool(state.behind):
            log.log(logging.WARNING if behind else logging.INFO, "%s", behind or "the replicas have followed",
                    extra={"action": "replicas"})  # fmt: skip
        state.behind = behind

    # -- plain jobs on the short path ------------------------------------------------------------------

    def _queue_finish(self, pipe: Any) -> list[Handler]:
        jobs = [job for job in self.state.unrecorded if isinstance(job, QuickJob) and job.succeeded]
        if not jobs:
            return []
        short_path.queue_finish(self.state, pipe, jobs)
        batch = Batch(jobs)
        return [(batch, partial(self._finished, jobs), batch.break_off)]

    def _finished(self, jobs: list[QuickJob], reply: list[int]) -> None:
        *codes, idle = reply
        if idle:
            self.state.worker.is_idle()
        for job, code in zip(jobs, codes, strict=True):
            if code == short_path.NOT_SIMPLE:
                job.long_way = True
                continue
            if code == short_path.NOT_OURS and mirror.is_held(self.state, job):
                continue  # it is said again
            if code == short_path.DONE:
                self.state.ended(job, "finished")
            self.state.worker.executions.pop(job.execution.id, None)
            self.state.drop(job)

    # -- taking jobs -----------------------------------------------------------------------------------

    def _queue_take(self, pipe: Any) -> list[Handler]:
        state, (queues, jobs, room) = self.state, self._takes
        if not queues:
            return []
        maps, maps_of = planning.maps(state, queues)
        short_path.queue_take(
            pipe, state.scripts, state.worker, queues, short_path.new_ticket(),
            room=room, maps=maps, maps_of=maps_of, jobs_of=jobs, most=min(state.allowance, room + maps),
            alternates=state.order.alternates,
        )  # fmt: skip
        return [(None, partial(self._taken, queues), None)]

    def _taken(self, queues: Sequence[rq.Queue], reply: list[Any] | int) -> None:
        state = self.state
        state.suspended = isinstance(reply, int)
        if isinstance(reply, int):
            return
        begun, self.others = short_path.read_take(state, queues, reply)
        self.empty = reply[0] == 0 if reply else all(self._takes.jobs)
        self.begun = bool(begun)
        state.begin(begun)
        for queue, _job_id in self.others:
            state.took(queue)
        known = len(state.jobs_waiting)
        if known:
            self._count(queues, [*(job.queue for job in begun), *(queue for queue, _job_id in self.others)])
        self.news = bool(reply) or len(state.jobs_waiting) != known

    def _count(self, asked: Sequence[rq.Queue], taken: list[rq.Queue]) -> None:
        """Keep up what waits in which queue, until it is looked at again."""
        waiting = self.state.jobs_waiting
        for queue in asked if self.empty else taken:
            left = 0 if self.empty else waiting.get(queue.name, 0) - 1
            waiting[queue.name] = left
            if left <= 0:
                del waiting[queue.name]


def _nothing(_reply: Any) -> None:
    """Nothing hangs on this reply."""
