"""django-rq: its queues and pages, by ``rqworker`` and by ``taskqworker``, in a project with a database."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from rq.job import Job

from tests.ecosystem.common import RQ, TASKQ, Stage, Trial, Way, main

JOBS = {"ann": "sign_up", "bob": "sign_up", "mallory": "refuse", "eve": "open_connections"}
PAGES = ("/django-rq/", "/django-rq/queues/0/", "/django-rq/stats.json", "/admin/",
         "/django-rq/queues/0/finished/", "/django-rq/queues/0/ann/")  # fmt: skip


def act(stage: Stage) -> dict[str, Any]:
    """How the jobs have ended, and what the pages answer."""
    import django_rq
    from django.conf import settings

    for queue in settings.RQ_QUEUES.values():
        queue["URL"] = stage.url
    from django.contrib.auth.models import User
    from django.test import Client

    from tests.ecosystem.shop import tasks

    User.objects.all().delete()
    for name, what in JOBS.items():
        django_rq.get_queue("high" if what == "refuse" else "default").enqueue(
            getattr(tasks, what), name, job_id=name
        )
    stage.wait_until(lambda: statuses(stage) == ["finished", "finished", "failed", "finished"], "all have ended")
    found = Job.fetch_many([*JOBS], stage.connection)
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return {
        "ends": {job.id: [job.get_status().value, job.return_value(), job.meta] for job in found},
        "users": sorted(User.objects.values_list("username", flat=True)),
        "pages": {page: client.get(page, follow=True).status_code for page in PAGES},
    }


def statuses(stage: Stage) -> list[str]:
    return [job.get_status().value if job else "" for job in Job.fetch_many([*JOBS], stage.connection)]


def sum_up(acted: dict[str, Any], _collected: None) -> str:
    ends = [end for end, _value, _meta in acted["ends"].values()]
    shown = sum(code == 200 for code in acted["pages"].values())
    own = {"of": "ShopJob", "by": "ShopWorker"}
    of_class = sum(own.items() <= meta.items() for _end, _value, meta in acted["ends"].values())
    return (
        f"{ends.count('finished')} finished, {ends.count('failed')} failed and noted; "
        f"{of_class} by the project's classes; {acted['ends']['eve'][1]} connections left over; {shown} pages"
    )


TRIAL = Trial(
    package="django-rq",
    runs="jobs that use the database, one that fails, on two queues; `rqworker` beside `taskqworker`; its pages",
    ways=(
        Way(RQ, ("-m", "django", "rqworker", "high", "default")),
        Way(TASKQ, ("-m", "django", "taskqworker", "high", "default", "--processes", "1")),
    ),
    act=act,
    collect=lambda _stage: None,
    sum_up=sum_up,
    expected="3 finished, 1 failed and noted; 4 by the project's classes; 0 connections left over; "
    f"{len(PAGES)} pages",
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "SHOP_DATABASE": str(Path(folder, "shop.sqlite3")),
            "DJANGO_SETTINGS_MODULE": "tests.ecosystem.shop.settings",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from tests.ecosystem import taskqworker

        taskqworker.check()
        main(TRIAL)
