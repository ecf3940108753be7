"""What the README, and the pages of the site that are read first, print is what happens."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

import taskq
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs/start.md").read_text(encoding="utf-8")
PAGES = "".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("index.md", "errors.md", "from_celery.md")
)
SAYS = {
    "index": "[0, 1, 4, 9, 16, 25, 36, 49]\n",
    "raises": (
        "page 3 is empty\n[0, 1, 4, ValueError('page 3 is empty'), 16]\n"
        "item 3: ValueError: page 3 is empty\nTrue 1\n"
    ),
    "dies": "0 1 WorkerLostError 3\n",
    "celery": "285\n",
}


def block(name: str, page: str = README) -> str:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", page, re.DOTALL)
    assert found, f"no block {name}"
    return found[1]


@pytest.fixture(scope="module")
def q() -> Iterator[taskq.Queue]:
    with taskq.local(processes=2) as queue:
        yield queue


def test_the_first_five_minutes(q: taskq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_URL", f"unix://{q.connection.connection_pool.connection_kwargs['path']}")
    names = re.findall(r"<!-- (\w+):", START)
    session = "".join(block(name, START) for name in names)
    differs = r"[0-9a-f]{8}-[0-9a-f-]{27}|on vm$"  # ids, and this host's name
    assert attempted(re.sub(differs, "...", session, flags=re.MULTILINE)) == session.count(">>> ") > 15


@pytest.mark.parametrize("name", SAYS)
def test_each_program_of_a_page(
    name: str, q: taskq.Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the workers that are there already: that a block of its own starts some is tested by the README's."""
    monkeypatch.setattr(taskq, "local", lambda **_: nullcontext(q))
    exec(block(name, PAGES), {"__name__": "__main__"})  # noqa: S102 - our own pages
    assert capsys.readouterr().out == SAYS[name]
    shown = re.search(rf"<!-- {name}:.*?-->\n```python\n.*?```\n\n((?:    [^\n]+\n)+)", PAGES, re.DOTALL)
    assert name == "index" or (shown and textwrap.dedent(shown[1]) == SAYS[name])


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGES)) == set(SAYS)


def attempted(session: str) -> int:
    """How many lines of it were run; all have printed what they print here."""
    test = doctest.DocTestParser().get_doctest(session, {"__name__": "__main__"}, "a page", None, 0)
    said: list[str] = []
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    result = doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=said.append)
    assert not result.failed, "".join(said)
    return result.attempted


def test_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("program")], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all("failed: ZeroDivisionError" in line for line in done.stderr.splitlines()), "only the worker's log"
    shown = re.search(r"```python\n.*?```\n\n((?:    [^\n]+\n)+)", README, re.DOTALL)
    assert shown
    sums = re.compile(r"\b50\d{6}\b")  # of random numbers
    assert sums.sub("50...", done.stdout) == sums.sub("50...", textwrap.dedent(shown[1]))


def test_the_commands_that_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        if target not in ("demo", "test"):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
