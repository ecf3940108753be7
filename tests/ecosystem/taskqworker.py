"""``manage.py taskqworker``: how it reads its line. For an environment with Django and django-rq."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings
from django.core.management import CommandError, call_command

from taskq.redis.server import private_server
from tests.acceptance.worker import environment
from tests.waiting import HANGS

ONE = ("--processes", "1", "-v", "0")


def check() -> None:
    """See that it is read as Django's commands and django-rq's are; raises where it is not."""
    with private_server() as url:
        for queue in settings.RQ_QUEUES.values():
            queue["URL"] = url
        _runs_what_is_named()
    _says_what_is_wrong()


def _runs_what_is_named() -> None:
    from django_rq import get_queue

    def enqueued(call: object) -> set[str]:
        """The queues of which a worker, called so, has run the job."""
        jobs = {name: get_queue(name).enqueue("tests.ecosystem.jobs.square", 3) for name in settings.RQ_QUEUES}
        assert callable(call)
        call()
        return {name for name, job in jobs.items() if job.is_finished}

    line = ("--burst", "--name", "high", "--traceback", *ONE)
    assert enqueued(lambda: call_command("taskqworker", *line)) == {"default"}, "a value is no queue"
    assert enqueued(lambda: call_command("taskqworker", "high", *ONE, burst=True)) == {"high"}, "nor is more added"


def _says_what_is_wrong() -> None:
    for line, code, says in (
        (("hgih",), 1, "CommandError: RQ_QUEUES has no queue hgih; it has default, high"),
        (("--no-such",), 2, "No such option"),
        (("--help",), 0, " taskqworker [OPTIONS] [QUEUES]"),
    ):
        command = [sys.executable, "-m", "django", "taskqworker", *line]
        done = subprocess.run(command, env=environment(RQ_REDIS_URL="redis://nowhere"), capture_output=True,
                              text=True, timeout=HANGS, check=False)  # fmt: skip
        assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done
        assert "Traceback" not in done.stderr, done
    try:
        call_command("taskqworker", "hgih")
    except CommandError:
        return
    raise AssertionError("a queue that is not there")
