"""What docs/web.md shows works: a Flask app and one of FastAPI, with real workers."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rq.job import JobStatus

from taskq import Queue
from tests.acceptance.web import ask, served
from tests.acceptance.worker import Workers
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/web.md").read_text(encoding="utf-8")


@pytest.fixture
def module(
    request: pytest.FixtureRequest, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The block of this name as the module which the page calls so; its queue is that of the test's workers."""
    block, name = request.param
    found = re.search(rf"<!-- {block}:.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / f"{name}.py").write_text(found[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TASKQ_URL", workers.url)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.mark.parametrize("module", [("flask", "shop")], indirect=True)
def test_flask(module: Any, workers: Workers, tmp_path: Path) -> None:
    workers.ready(1, "--app", "shop:create_app", "--path", str(tmp_path))
    browser = module.create_app().test_client()
    told = browser.post("/jobs", json=["tea", "cups"])
    assert told.status_code == 202
    Queue(url=workers.url).fetch_job(told.json["id"]).wait(timeout=HANGS)
    assert browser.get(f"/jobs/{told.json['id']}").json == {"results": ["The shop: tea", "The shop: cups"]}
    assert browser.get("/jobs/none").status_code == 404


@pytest.mark.parametrize("module", [("fastapi", "studio")], indirect=True)
def test_fastapi(module: Any, workers: Workers, tmp_path: Path) -> None:
    workers.ready(1, "--path", str(tmp_path))
    with served(module.app) as url:
        status, told = ask(f"{url}/jobs", b'["a", "b"]')
        assert status == 202
        lines = ask(f"{url}/jobs/{told['id']}/results")[1]
        assert sorted(lines, key=lambda line: line["item"]) == [
            {"item": 0, "value": "A"}, {"item": 1, "value": "B"},
        ]  # fmt: skip
        assert ask(f"{url}/jobs/{told['id']}") == (200, {"done": 2, "failed": 0, "total": 2})
        assert ask(f"{url}/jobs/none")[0] == 404
    assert Queue(url=workers.url).fetch_job(told["id"]).get_status() in (JobStatus.STARTED, JobStatus.FINISHED)


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGE)) == {"flask", "fastapi"}
