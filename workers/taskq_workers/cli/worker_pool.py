"""``taskq worker-pool``: for command lines that were written for RQ's; a pool is what each of our services has."""

from __future__ import annotations

from typing import Any

import click

from taskq_workers.cli.worker import worker

_COUNT = click.Option(
    ["-n", "--num-workers", "--processes", "processes"], type=int, envvar="TASKQ_PROCESSES", show_envvar=True,
    help="How many jobs and chunks run at the same time. [default: the cores it may use]",
)  # fmt: skip


def _parameter(of_worker: click.Parameter) -> click.Parameter:
    if of_worker.name == "processes":
        return _COUNT
    if of_worker.name == "name":
        return click.Option(["--name"], default="", help="Begins the names of the RQ workers.")
    if of_worker.name == "log_level":
        assert isinstance(of_worker, click.Option)
        return click.Option(
            ["-l", *of_worker.opts, "log_level"], default=of_worker.default, type=of_worker.type,
            envvar=of_worker.envvar, show_envvar=True, help=of_worker.help,
        )  # fmt: skip
    return of_worker


def _run(**given: Any) -> None:
    assert worker.callback is not None
    worker.callback(**given)


worker_pool = click.Command(
    "worker-pool",
    callback=_run,
    params=[_parameter(one) for one in worker.params],
    context_settings=worker.context_settings,
    help="As `taskq worker`, with `rq worker-pool`'s options: -n is the number of processes, -l the log level.",
)
