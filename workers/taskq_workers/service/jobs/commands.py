"""RQ's commands to a worker: stop-job, stop-execution, kill-horse, shutdown; and that a map has changed.

RQ's own worker has one job at a time; here each command finds the job, or all jobs, that it means.
"""

from __future__ import annotations

import logging
from typing import Any

from taskq.redis import keys
from taskq_workers.service.core.execution import KILL_HORSE, MapRun, PlainJob, Taken
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import closing, ending, left_behind

log = logging.getLogger(__name__)


def obey(state: State, payload: dict[str, Any]) -> None:
    """Do what a message on RQ's channel of this worker says."""
    command = payload.get("command")
    if command == "shutdown":
        state.finish("was told to shut down")
    elif command == "kill-horse":
        _kill_horses(state)
    elif command == keys.LOOK:
        left_behind.look(state, str(payload.get("map")))
    elif command == "stop-job":
        _stop(state, [one for one in state.taken if one.job_id == payload.get("job_id")], payload)
    elif command == "stop-execution":
        _stop(state, [one for one in state.taken if one.execution.id == payload.get("execution_id")], payload)
    else:
        log.warning("an unknown command: %r", payload, extra={"action": "bad_command"})


def _kill_horses(state: State) -> None:
    """Kill every process that runs something of the user's; jobs fail of it as under RQ's worker."""
    for lane in state.lanes:
        if not lane.idle:
            lane.kill(KILL_HORSE)


def _stop(state: State, found: list[Taken], payload: dict[str, Any]) -> None:
    for one in found:
        if isinstance(one, MapRun) and not one.guest:
            closing.stop_map(state, one)
            return
        if isinstance(one, PlainJob) and one.outcome is None:
            _stop_plain(state, one)
            return
    log.warning("runs nothing that %r could stop", payload, extra={"action": "not_stopped"})


def _stop_plain(state: State, job: PlainJob) -> None:
    job.stopped = True
    for lane in state.lanes:
        if job in lane.tasks.values():
            if lane.recall_due is None:
                lane.kill("stopped")
            else:
                lane.recall()  # first, that no other job begins before the kill: see ``recall.look``
            return
    if not job.submitted:  # else its process is dead already, and it is being settled
        job.submitted = True
        (state.held if job in state.held else state.ready).remove(job)
        ending.stopped(state, job)
