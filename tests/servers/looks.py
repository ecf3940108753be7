"""What people look at: the page, and the commands of a shell. They connect as producers and workers do."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

from tests.acceptance.browser import Dashboard
from tests.acceptance.worker import run
from tests.waiting import HANGS

MAP = "looked-at"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("status",), ("health",), ("jobs",), ("show", MAP), ("results", MAP), ("report", MAP), ("memo", "ls"),
)  # fmt: skip
PATHS = {
    f"/maps/{MAP}": MAP, f"/maps/{MAP}/results.jsonl": "3.0", f"/maps/{MAP}/report": "<html", "/metrics": "taskq_",
    "/jobs?place=finished": MAP,
}  # fmt: skip


def look(url: str, folder: Path, **variables: str) -> None:
    """Use all of them, beside a worker.

    Args:
        url: Of the server.
        folder: For files.
        variables: Of the environment.
    """
    variables["TASKQ_URL"] = url
    pushed = run("map", "math:sqrt", "9", "--job-id", MAP, **variables)
    assert "3.0" in pushed.stdout, pushed.stdout + pushed.stderr
    page = Dashboard(url, folder / "page.log", "--allow-actions", **variables)
    try:
        for path, held in PATHS.items():
            with urlopen(f"{page.address}{path}", timeout=HANGS) as answer:  # noqa: S310 - as below
                assert held in answer.read().decode().lower(), path
        with urlopen(f"{page.address}/events", timeout=HANGS) as events:  # noqa: S310 - the page's own address
            while MAP not in (line := events.readline().decode()):
                assert line, "the page has ended its events"
    finally:
        ended = page.stop()
    assert (ended, "Traceback" in (folder / "page.log").read_text()) == (0, False)
    for command in COMMANDS:
        told = run(*command, **variables)
        assert "Traceback" not in told.stderr, f"{command}: {told.stderr}"
        assert told.returncode == 0, f"{command}: {told.returncode} {told.stdout}{told.stderr}"
