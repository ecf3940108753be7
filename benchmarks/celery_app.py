"""Celery as its documentation recommends for what may be lost: late ack, reject on worker lost."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks import ledger

app = Celery("benchmarks")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)


def use(url: str) -> None:
    """The broker: a unix socket, in the spelling of kombu."""
    app.conf.broker_url = url.replace("unix://", "redis+socket://")


if "BROKER_SOCKET" in os.environ:
    use(os.environ["BROKER_SOCKET"])

step = app.task(name="benchmarks.step")(ledger.step)
