"""What docs/django.md shows is a project that works: with a real worker, and by its own tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.worker import Workers, environment
from tests.waiting import LONG

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/django.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- (\w+):.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL))
BROWSER = """
import json, time
from django.test import Client
from shop.models import Order

browser = Client(SERVER_NAME="localhost")
for total in (1, 2, 3):
    Order.objects.create(total=total)
job = browser.post("/invoices/").json()["id"]
bought = browser.post("/orders/", {"total": 4}).json()["order"]
while (told := browser.get(f"/invoices/{job}/").json())["status"] in ("queued", "started"):
    time.sleep(0.1)
while not Order.objects.get(pk=bought).invoice:
    time.sleep(0.1)
gone = browser.get("/invoices/none/").status_code
print(json.dumps([told, gone, *Order.objects.order_by("pk").values_list("invoice", flat=True)]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of manage.py, after all that the page has one write there."""
    folder = tmp_path / "project"
    folder.mkdir()
    run(folder, "-m", "django", "startproject", "mysite", ".")
    run(folder, "manage.py", "startapp", "shop")
    with (folder / "mysite/settings.py").open("a") as settings:
        settings.write("\n" + BLOCKS["settings"])
    (folder / "mysite/urls.py").write_text(BLOCKS["urls"])
    for name in ("models", "tasks", "views", "tests"):
        (folder / f"shop/{name}.py").write_text(BLOCKS[name])
    run(folder, "manage.py", "makemigrations", "shop")
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(**variables), capture_output=True, text=True,
        timeout=LONG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shop(project: Path, workers: Workers) -> None:
    run(project, "manage.py", "migrate")
    command = (sys.executable, "manage.py", "taskqworker")
    workers.start("--processes", "2", command=command, cwd=project).wait_until_ready()
    told = run(project, "-c", f"import django; django.setup()\n{BROWSER}", TASKQ_URL=workers.url,
               DJANGO_SETTINGS_MODULE="mysite.settings")  # fmt: skip
    assert json.loads(told) == [
        {"done": 3, "failed": 0, "total": 3, "status": "finished"}, 404,
        "invoice 1 over 1", "invoice 2 over 2", "invoice 3 over 3", "invoice 4 over 4",
    ]  # fmt: skip


def test_its_tests(project: Path) -> None:
    assert "Found 2 test(s)" in run(project, "manage.py", "test")


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGE)) == {"settings", "models", "tasks", "views", "urls", "tests"}
