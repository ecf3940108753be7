"""The page, served by the real command and looked at with a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from taskq import Queue
from tests import jobs
from tests.acceptance.browser import Dashboard, chromium
from tests.acceptance.worker import ROOT, Server, Workers, environment, run
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

HOSTILE = "<img src=x onerror='document.title=1'><script>document.title=1</script>"
RED_PIXELS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let red = 0;
  for (let at = 0; at < data.length; at += 4) red += data[at] > 180 && data[at + 1] < 60 && data[at + 2] < 60;
  return red;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=HANGS * 1000)
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def dashboard(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts the page, or finds one that was started in the same way; returns its address."""
    started: dict[str, Dashboard] = {}

    def start(*arguments: str, **variables: str) -> str:
        how = f"{arguments} {variables}"
        if how not in started:
            log = tmp_path_factory.mktemp("page") / "page.log"
            started[how] = Dashboard(server_url, log, *arguments, **variables)
        return started[how].address or ""

    yield start
    assert {one.stop() for one in started.values()} <= {0}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which any error of a script, and anything that is loaded from elsewhere, fails the test."""
    found = browser.new_page(viewport={"width": 1200, "height": 900})
    found.set_default_timeout(HANGS * 1000)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    hosts: set[str] = set()
    found.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    yield found
    found.close()
    assert errors == []
    assert {host.split(":")[0] for host in hosts} <= {"127.0.0.1"}


def get(address: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, method=method, headers=named)  # noqa: S310 - an address of ours
    try:
        with urllib.request.urlopen(request, timeout=HANGS) as answer:  # noqa: S310 - as above
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def line_of(page: Page, name: str) -> Any:
    return page.locator("#maps tr").filter(has_text=name)


def test_a_map_runs_a_process_is_killed_cancel_and_retry(
    dashboard: Callable[..., str], page: Page, workers: Workers, real_queue: Queue, tmp_path: Path
) -> None:
    worker = workers.ready(processes=2)
    page.goto(dashboard("--allow-actions"))
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#maps-empty")).to_be_visible()
    expect(page.locator("#card-cores")).to_have_text("0 of 2")
    flag = tmp_path / "flag"
    flag.touch()
    failing = real_queue.starmap(jobs.fail_until, [(str(flag), n) for n in range(4)], chunksize=1)
    running = real_queue.map(jobs.nap, [0.2] * 4000, chunksize=1, weight=2, item_timeout=60)

    # It runs
    expect(line_of(page, "nap").locator(".status")).to_have_text("started")
    expect(page.locator("#card-cores")).to_have_text("2 of 2")
    expect(page.locator("#services")).to_contain_text("nap, chunk")
    expect(line_of(page, "nap").locator(".told")).to_have_text("item_timeout: 60 · weight: 2")
    expect(line_of(page, "nap").locator(".bar + .sub")).to_contain_text(re.compile(r"[1-9][\d\s]* of 4\s000 done"))

    # A process is killed: a red mark in the drawing, the same in words, and a death in the table of processes
    red = page.locator("#timeline").evaluate(RED_PIXELS)
    os.kill(worker.pool_pids[0], signal.SIGKILL)
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile("1 died, 1 chunk run again"))
    page.locator("#timeline-text summary").click()
    died = page.locator("#timeline-table tr td:nth-child(5)")
    wait_until(lambda: sorted(died.all_text_contents()) == ["0", "1"])
    wait_until(lambda: page.locator("#timeline").evaluate(RED_PIXELS) >= red + 30, "a red mark is drawn")
    expect(page.locator("#services .bad")).to_have_text("1")

    # Cancel, by the keyboard
    cancel = line_of(page, "nap").get_by_role("button", name="Cancel")
    cancel.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cancel it", exact=True).click()
    expect(line_of(page, "nap").locator(".status")).to_have_text("canceled")
    assert running.get_status() == "canceled"

    # Errors, and retry
    expect(page.locator("#errors")).to_contain_text(
        re.compile("ValueError not yet · at jobs.py.* · map fail_until")
    )
    page.locator("#errors summary").click()
    expect(page.locator("#errors pre")).to_contain_text("not yet")
    flag.unlink()
    line_of(page, "fail_until").get_by_role("button", name="Retry").click()
    expect(line_of(page, "fail_until").locator(".status")).to_have_text("finished")
    assert failing.get() == [0, 1, 2, 3]


SWATCH = "one => getComputedStyle(one).backgroundColor"


def test_maps_are_found_and_each_has_its_page(
    dashboard: Callable[..., str], page: Page, workers: Workers, real_queue: Queue
) -> None:
    address = dashboard()
    first = real_queue.map(jobs.invert, [1, 0], chunksize=1)
    second = real_queue.map(jobs.invert, [0, 0, 1], chunksize=1)
    nowhere = real_queue.map("nosuchmodule.f", [1])
    workers.ready(processes=2)
    for job in (first, second, nowhere):
        assert job.wait(HANGS)
    page.goto(address)
    expect(page.locator("#maps tr")).to_have_count(3)

    # Why one has failed before any item; and what failed alike in two maps is one group
    expect(line_of(page, "nosuchmodule").locator(".reason")).to_contain_text("there is no module nosuchmodule")
    expect(page.locator("#errors summary")).to_have_count(1)
    expect(page.locator("#errors summary")).to_contain_text(re.compile("3 . ZeroDivisionError.*division by zero"))

    # When it began
    expect(line_of(page, second.id[:8]).locator("td").nth(4)).to_contain_text(
        re.compile(r"took .*started \d+:\d\d:\d\d")
    )

    # Found by what is typed
    page.locator("#search").fill("NOSUCH")
    expect(page.locator("#maps tr")).to_have_count(1)
    page.locator("#search").fill("")
    expect(page.locator("#maps tr")).to_have_count(3)

    # A page of its own, by its name, and by its address; in the colour that it always has
    swatch = page.locator("#maps tr", has_text=second.id[:8]).locator(".swatch")
    colour = swatch.evaluate(SWATCH)
    page.locator("#maps tr", has_text=second.id[:8]).locator("a.name").click()
    expect(page.locator("#only")).to_contain_text("Only the map invert")
    for _ in range(2):
        expect(page.locator("#maps tr")).to_have_count(1)
        expect(page.locator("#maps tr")).to_contain_text("1 of 3 done, 2 failed")
        expect(page.locator("#errors summary")).to_contain_text(re.compile("2 . ZeroDivisionError"))
        assert page.locator("#maps .swatch").evaluate(SWATCH) == colour
        assert page.url.endswith(f"#map/{second.id}")
        page.reload()
    page.route("**/maps/*", lambda route: route.fulfill(status=503, body="later"))
    page.goto(f"{address}/#map/{first.id[:8]}")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-updates", re.compile("[1-9]"))
    assert page.locator("#maps tr").count() == 0  # not the others, while this one can't be had
    page.unroute_all()
    expect(page.locator("#maps tr")).to_contain_text("1 of 2 done, 1 failed")
    page.goto(f"{address}/#map/none-such")
    expect(page.locator("#trouble")).to_have_text("there is no map none-such")
    updates = int(page.locator("html").get_attribute("data-updates") or 0)
    expect(page.locator("html")).not_to_have_attribute("data-updates", str(updates))
    expect(page.locator("#trouble")).to_have_text("there is no map none-such")
    page.locator("#only a").click()
    expect(page.locator("#maps tr")).to_have_count(3)
    expect(page.locator("#trouble")).to_be_hidden()

    # Jobs are there at once
    page.locator("a[href='#jobs']").click()
    expect(page.locator("#h-page")).to_contain_text("failed on default")
    expect(page.locator("#jobs tr")).to_have_count(3)


def test_it_survives_restarts(page: Page, workers: Workers, server: Server, tmp_path: Path) -> None:
    """Of Redis, of the services and of the page itself: the same tab goes on."""
    server.start()
    queue = Queue(url=server.url)
    first = Dashboard(server.url, tmp_path / "first.log")
    port = (first.address or "").rpartition(":")[2]
    page.goto(first.address or "")
    worker = workers.start("--processes", "1", url=server.url).wait_until_ready()
    queue.map(jobs.nap, [0.01] * 4, chunksize=1).get(timeout=HANGS)
    expect(page.locator("#timeline-table tr td:nth-child(3)")).to_have_text("4")
    server.kill()
    expect(page.locator("#trouble")).to_be_visible()
    server.start()
    expect(page.locator("#trouble")).to_be_hidden()
    assert worker.stop() == 0
    expect(page.locator("#card-cores")).to_have_text("0 of 0")
    assert first.stop() == 0
    expect(page.locator("#live")).to_have_text(re.compile("reconnecting|not connected"))
    second = Dashboard(server.url, tmp_path / "second.log", "--port", port)
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#timeline-table tr td:nth-child(3)")).to_have_text("4")
    expect(line_of(page, "nap").locator(".status")).to_have_text("finished")
    assert second.stop() == 0
    queue.connection.close()


def test_a_hostile_job_is_only_text(
    dashboard: Callable[..., str], page: Page, real_queue: Queue, workers: Workers
) -> None:
    workers.ready(processes=1)
    job = real_queue.map(jobs.invert, [0, 1], description=HOSTILE)
    real_queue.enqueue(jobs.square, 1, description=HOSTILE)
    job.wait(HANGS)
    real_queue.connection.hset(job.store.keys.hash, "name", HOSTILE)
    record = {"index": 0, "type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    real_queue.connection.hset(job.store.keys.errors, 0, json.dumps(record))
    address = dashboard()
    page.goto(address)
    expect(line_of(page, HOSTILE)).to_be_visible()
    expect(page.locator("#errors summary")).to_contain_text(HOSTILE)
    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("button", name=re.compile("finished jobs")).click()
    expect(page.locator("#jobs tr")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 1  # the icon
    page.goto(f"{address}/maps/{job.id}/report")
    expect(page.locator("h1")).to_have_text(HOSTILE)
    assert page.title() == f"{HOSTILE} · taskq report"
    assert page.locator("img, script").count() == 0


def test_for_phones_and_readers(dashboard: Callable[..., str], browser: Browser, real_queue: Queue) -> None:
    real_queue.map(jobs.square, range(3))
    phone = browser.new_page(viewport={"width": 360, "height": 740}, is_mobile=True, color_scheme="dark")
    phone.goto(dashboard())
    expect(line_of(phone, "square")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    landmarks = ("banner", None), ("main", None), ("navigation", "Views")
    parts = ("table", "Maps"), ("progressbar", "Progress of square"), ("heading", "Errors"), ("radio", "Active 1")
    for role, name in (*landmarks, *parts):
        assert phone.get_by_role(role, name=name).count() == 1, role  # type: ignore[arg-type]
    assert phone.locator("button:not([hidden]):visible").get_by_text("Cancel").count() == 0  # read-only
    expect(phone.locator("#mode")).to_have_text("read-only")
    phone.close()


def test_sign_in(dashboard: Callable[..., str], real_queue: Queue, page: Page, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("let-me-in-please\n")
    address = dashboard("--token-file", str(tmp_path / "token"))
    assert get(f"{address}/jobs")[0] == 401
    assert get(f"{address}/jobs", authorization="Bearer let-me-in-please")[0] == 200
    page.goto(address)
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Token").fill("let-me-in-please")
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("live")


def test_read_only_by_default(dashboard: Callable[..., str], real_queue: Queue) -> None:
    address = dashboard()
    job = real_queue.map(jobs.square, range(3))
    status, text = get(f"{address}/jobs/{job.id}/cancel", "POST", x_requested_with="taskq")
    assert (status, "--allow-actions" in text) == (403, True)
    assert job.get_status() == "queued"


def test_what_else_it_serves(dashboard: Callable[..., str], real_queue: Queue, workers: Workers) -> None:
    workers.ready(processes=1)
    job = real_queue.map(jobs.square, range(3))
    assert job.get(timeout=HANGS) == [0, 1, 4]
    address = dashboard("--allow-actions")
    assert get(f"{address}/health") == (200, "ok\n")
    assert "taskq_queue_jobs" in get(f"{address}/metrics")[1]
    told = get(f"{address}/maps/{job.id}/results.jsonl")[1].splitlines()
    assert sorted(json.loads(line)["value"] for line in told) == [0, 1, 4]
    assert get(f"{address}/maps/nobody/report")[0] == 404
    assert get(f"{address}/maps/nobody/results.jsonl")[0] == 404
    assert get(f"{address}/jobs?place=nowhere")[0] == 404
    assert get(f"{address}/jobs?page=-1&queue=%00")[0] == 200
    assert get(f"{address}/jobs/{job.id}/explode", "POST", x_requested_with="taskq")[0] == 404
    status, text = get(f"{address}/jobs/{job.id}/cancel", "POST", x_requested_with="taskq")
    assert (status, "ended already" in text) == (409, True)
    assert get(f"{address}/static/../app.py")[0] == 404


def test_the_report_command(workers: Workers, real_queue: Queue, server_url: str) -> None:
    workers.ready(processes=2)
    job = real_queue.map(jobs.die_at_3, range(5), chunksize=1)
    job.wait(HANGS)
    told = run("report", job.id, TASKQ_URL=server_url)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("<!doctype html>")
    assert "This item killed 3 processes." in told.stdout
    assert told.stdout.count(": its process died") == 3
    missing = run("report", "nobody", TASKQ_URL=server_url)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from taskq_workers.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", program, "dashboard"], cwd=ROOT, env=environment(),
                          capture_output=True, text=True, timeout=HANGS, check=False)  # fmt: skip
    assert told.returncode == 1
    assert "pip install 'taskq-pool[dashboard]'" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_other_commands_do_without_it() -> None:
    program = (
        "import sys, taskq_workers.cli, taskq_workers.manager.manager; "
        "print({'starlette', 'uvicorn', 'jinja2'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True,
                          text=True, timeout=HANGS, check=True)  # fmt: skip
    assert told.stdout == "set()\n"


def test_not_open_to_all(real_queue: Queue) -> None:
    told = run("dashboard", "--host", "0.0.0.0")  # noqa: S104
    assert told.returncode == 1
    assert "--token-file" in told.stderr


def event(data: Any, name: str = "message") -> str:
    return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def test_data_that_no_server_should_send(dashboard: Callable[..., str], page: Page) -> None:
    """A part that can't be drawn costs itself; what can is shown, and nothing is drawn without end."""
    cards = {"rate": None, "job_rate": "x", "busy": [], "cores": {}, "failed": 3, "pending": 1, "claimed": 1}
    service = {"name": "s", "host": "h", "place": "p-0", "pid": 1, "queues": [], "cores": 10**9, "processes": []}
    entries = [[9, 0, "0:1", 1.0, 1.0, 1, 0, 0, "ok"], [0, 0, "0:1", None, "x", 1, 0, 0, "ok"]]
    news = {
        "at": 1.0, "trouble": "", "gap": 0, "cards": cards, "maps": [{"id": 7}, None], "errors": [None],
        "services": [service], "queues": [{"name": "fine", "queued": 5, "failed": "x"}],
        "timeline": {"entries": entries, "rows": [["h", "p-0", 0]], "jobs": ["j"]},
    }  # fmt: skip
    about = {"redis": "r", "version": "v", "actions": False}
    body = event(about, "about") + event("no JSON") + event(news)
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.goto(dashboard())
    expect(page.locator("#card-failed")).to_have_text("3")
    expect(page.locator("#card-rate")).to_have_text("0")
    expect(page.locator("#trouble")).to_contain_text("Can't be shown")
    expect(page.locator("#trouble")).to_contain_text("maps (")
    expect(page.locator("#services")).to_contain_text("Service 0 on h")
    assert page.locator("#rows li").count() <= 300
    page.goto(f"{dashboard()}/#jobs")
    expect(page.locator("#queues")).to_contain_text("fine")
    expect(page.locator("#queues")).to_contain_text("5")
