"""A map's executions as RQ lists them, also those whose record is gone."""

from __future__ import annotations

from contextlib import suppress

from rq.executions import Execution, ExecutionRegistry


class Executions(ExecutionRegistry):
    """RQ's list of the executions of one job.

    RQ lists their ids and then reads each. One that is gone by then would keep the job from being cancelled or
    deleted: for a moment, if it has just ended; for minutes, if its record has expired while the server was away.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        """As RQ's own; of what is gone there is no more than its id, by which it is struck off everywhere."""
        found = []
        for execution_id in self.get_execution_ids(start, end):
            execution = Execution(execution_id, self.job_id, self.connection)
            with suppress(ValueError):  # RQ's word for it
                execution.refresh()
            found.append(execution)
        return found
