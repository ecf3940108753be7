"""What a notebook shows."""

from __future__ import annotations

import html.parser
from typing import Any

import pytest

from taskq import MapJob, Queue, ResultList, WaitTimeoutError
from taskq.testing import drain
from taskq.views import forms
from taskq.views.progress import Progress
from tests import jobs
from tests.waiting import HANGS


class Checked(html.parser.HTMLParser):
    """Notes what is wrong with the nesting of a piece of HTML, and all that a browser would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag in ("script", "link", "img", "iframe", "style"):
            self.wrong.append(tag)
        self.wrong += [name for name, value in attrs if name.startswith("on") or "url" in (value or "")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(one: Any) -> str:
    """The text of its form, which is sound HTML."""
    checked = Checked(one if isinstance(one, str) else one._repr_html_())
    assert not checked.wrong
    assert not checked.open
    return " ".join(checked.texts)


@pytest.fixture
def job(any_queue: Queue) -> MapJob:
    """A map of which two of four items have failed, in ways that look like HTML."""
    job = any_queue.map(jobs.fail_with_text, ["", "<script>alert(1)</script>", "", "a & b"], chunksize=1)
    drain(any_queue)
    return job


def test_a_map(job: MapJob) -> None:
    told = shown(job)
    for part in (
        job.id,
        "failed",
        "2/4 done, 2 failed",
        "fail_with_text",
        "ValueError",
        "<script>alert(1)</script>",
    ):
        assert part in told
    form = job._repr_html_()
    assert form.count("width:50.00%") == 2, "half of the bar is done, half has failed"
    assert "#c0392b" in form


def test_a_bar_while_it_is_waited_for_results(any_queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    job = any_queue.map(jobs.square, range(4))
    with pytest.raises(WaitTimeoutError):
        job.get(timeout=0, progress="always")
    drain(any_queue)
    assert job.get(timeout=HANGS, progress="always") == [0, 1, 4, 9]
    assert "square: 4/4 done" in capsys.readouterr().err
    assert job.get(timeout=HANGS, progress=True) == [0, 1, 4, 9]
    assert capsys.readouterr().err == "", "nobody looks"


def test_a_map_that_waits(any_queue: Queue) -> None:
    job = any_queue.map(abs, [1])
    assert "0/1 done" in shown(job)
    assert "#c0392b" not in job._repr_html_(), "nothing has failed"


def test_errors(job: MapJob) -> None:
    told = shown(job.errors)
    for part in ("1", "3", "ValueError", "<script>alert(1)</script>", "a & b"):
        assert part in told


def test_of_many_errors_the_first_are_shown(any_queue: Queue) -> None:
    job = any_queue.map(jobs.invert, [0] * 40)
    drain(any_queue)
    assert job._repr_html_().count("<tr>") == 2
    form: Any = job.errors
    assert form._repr_html_().count("<tr>") == 1 + forms.SHOWN
    assert "40 errors in all" in shown(form)


def test_a_list(any_queue: Queue) -> None:
    results = ResultList("some:list", any_queue.connection)
    results.extend(["<b>", *range(100), "x" * 10_000])
    assert "102 values in all" in shown(results)
    assert "'<b>'" in shown(results)
    assert len(results._repr_html_()) < 3000
    results.append("x")
    results.clear()
    assert "some:list" in shown(results)


def test_what_can_not_be_read_is_still_shown(job: MapJob) -> None:
    """As by ``repr``: to look at something must not raise."""
    job.connection.delete(job.store.keys.hash)
    assert "its keys are gone" in shown(job)
    results = job.result_list
    job.connection.lpush(results.key, b"<garbage>")
    assert results.key in shown(results)


def test_a_bar_of_nothing() -> None:
    assert "0/0 done" in shown(forms.line("<f>", Progress.since(0.0, 1.0, 0, 0, 0)))


def test_elapsed_time() -> None:
    assert "2 s left after 6.0 s" in shown(forms.line("f", Progress.since(10.0, 16.0, 3, 0, 4)))
