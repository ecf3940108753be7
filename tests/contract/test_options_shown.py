"""Each option of a map is announced, signed with a key, shown wherever a map is, and offered by ``taskq map``.

The options are those of ``maps/keywords.py``, so one that is new has to be put into one of the lists here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import click
import pytest
from click.testing import CliRunner

import taskq
from taskq import MapJob, Queue
from taskq.maps import keywords
from taskq.payload import signing
from taskq_workers import report
from taskq_workers.cli import map as map_module
from taskq_workers.cli.job_view import views
from taskq_workers.cli.map import map_command
from taskq_workers.cli.show import _map, _parts
from taskq_workers.dashboard import maps
from tests import jobs

OF_THE_JOB = {
    "meta", "description", "at_front", "job_timeout", "result_ttl", "failure_ttl", "ttl", "retry", "depends_on",
    "on_success", "on_failure", "on_stopped", "webhooks", "unique", "job_id",
}  # fmt: skip
"""RQ's, which stand in its job and are shown as RQ shows them; and the id."""

OF_THE_PUSH = {"share", "chunksize", "star", "queue"}
"""Which say how items travel, and where: signed with what they make of the items, or announced with them."""

RETRY = taskq.Retry(3, backoff=(1, 2, 9), jitter=0.5, on=(ValueError, KeyError), not_on=(UnicodeError,))
SPELL = (
    "3 times, after 1.0 s, each time 2.0 times as long, 9.0 s at most, jitter 0.5, on ValueError KeyError, not on "
    "UnicodeError"
)

WORDS_OF_RETRY = [
    "--item-retry", "3", "--backoff", "1", "2", "9", "--jitter", "0.5", "--retry-on", "ValueError",
    "--retry-on", "builtins:KeyError", "--retry-not-on", "UnicodeError",
]  # fmt: skip
MEMO = {"memo": "shown"}
CASES: dict[str, tuple[Any, Any, dict[str, Any], list[str]]] = {
    # option: its value, as it is shown, what else has to be named, and how the command is told
    "item_timeout": (2.5, 2.5, {}, ["--item-timeout", "2.5"]),
    "weight": (3, 3.0, {}, ["--weight", "3"]),
    "max_failures": (0.25, 0.25, {}, ["--max-failures", "0.25"]),
    "item_retry": (RETRY, SPELL, {}, WORDS_OF_RETRY),
    "speculate": (True, True, {}, ["--speculate"]),
    "max_running": (4, 4, {}, ["--max-running", "4"]),
    "rate": ("300/m", "300/m", {}, ["--rate", "300/m"]),
    "results": ("discard", "discard", {}, ["--results", "discard"]),
    "first": (2, 2, {}, ["--first", "2"]),
    "initializer": ("random.seed", "random.seed", {}, ["--initializer", "random:seed"]),
    "initargs": ((7, "a"), 2, {"initializer": "random.seed"}, ["--initarg", "7", "--initarg", "a"]),
    "memo": ("shown", "shown", {}, ["--memo", "shown"]),
    "key": (str, "str", MEMO, ["--key", "builtins:str"]),
    "memo_ttl": (-1, -1.0, MEMO, ["--memo-ttl", "-1"]),
    "memo_changed": ("forget", "forget", MEMO, ["--memo-changed", "forget"]),
    "if_exists": ("replace", "replace", {"job_id": "nightly"}, ["--if-exists", "replace"]),
    "buffersize": (50, 50, {}, ["--buffersize", "50"]),
    "orphan": ("cancel", "cancel", {}, ["--orphan", "cancel"]),
}  # fmt: skip
WORDS = {"job_id": ["--job-id", "nightly"]}
OF_OPEN_MAPS = {"buffersize", "orphan"}
EACH = pytest.mark.parametrize("option", sorted(CASES))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(signing.VARIABLE, "correct horse battery staple and more")
    yield
    signing._in_use.clear()


def pushed(any_queue: Queue, option: str) -> MapJob[Any]:
    value, _shown, beside, _words = CASES[option]
    queue = Queue(any_queue.name, connection=any_queue.connection)
    if option in OF_OPEN_MAPS:
        job = queue.open_map(jobs.square, **{option: value})
        job.give_up()
        return job
    return queue.map(jobs.square, range(3), **{option: value, **beside})


def test_none_was_forgotten() -> None:
    kinds = (keywords.MapCall, keywords.OpenCall, keywords.ChainCall, keywords.LazyCall)
    known = {name for kind in kinds for name in kind.__annotations__}
    known |= {name for kind in kinds for base in kind.__mro__ for name in getattr(base, "__annotations__", ())}
    assert known == {*CASES, *OF_THE_JOB, *OF_THE_PUSH} - {"star"}


@EACH
def test_it_is_announced_and_signed(any_queue: Queue, option: str) -> None:
    shown = CASES[option][1]
    _incarnation, _total, _star, _limit, item_timeout, _adapt, *told_beside = json.loads(
        pushed(any_queue, option).store.info().announcement
    )
    named = {"item_timeout": item_timeout}
    for one in told_beside:
        named |= json.loads(one) if isinstance(one, str) else one
    assert named[option] == shown


@EACH
def test_it_is_shown(any_queue: Queue, option: str) -> None:
    shown, job = CASES[option][1], pushed(any_queue, option)
    [view] = views(job.connection, [job.id])
    assert view is not None
    assert view.to_dict()["items"]["terms"][option] == shown, "--json of taskq jobs and show"
    assert f"  {option}: {shown}" in _parts(view, _map(job.connection, view), traceback=False)
    line = maps.find(job.connection, job.id)
    assert line is not None
    assert line["terms"][option] == shown, "the page"
    assert f"{option}: {html.escape(str(shown))}" in report.render(job.connection, job.id)


class ToldError(Exception):
    """What a queue was asked for."""


class Asked:
    """In the place of the queue that the command pushes to."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def map(self, _function: Any, _items: Any, **options: Any) -> Any:
        raise ToldError(options)

    def open_map(self, function: Any, **options: Any) -> Any:
        return self.map(function, (), **options)


@EACH
def test_the_command_offers_it(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    value, _shown, beside, words = CASES[option]
    monkeypatch.setattr(map_module, "Queue", Asked)
    monkeypatch.setattr(map_module, "reached", nullcontext)
    items = ["--stdin", "lines", "--follow"] if option in OF_OPEN_MAPS else ["1"]
    needed = [word for name in beside for word in WORDS.get(name, CASES.get(name, (0, 0, 0, []))[3])]
    run = CliRunner().invoke(map_command, ["math:sqrt", *items, *needed, *words], input="")
    assert isinstance(run.exception, ToldError), run.output
    [given] = run.exception.args
    assert given[option] == value


@pytest.mark.parametrize("words", [
    ["--jitter", "0.5"], ["--retry-on", "OSError"], ["--retry-not-on", "OSError"], ["--buffersize", "3"],
    ["--orphan", "cancel"], ["--item-retry", "2", "--retry-on", "NoSuchError"],
    ["--item-retry", "2", "--retry-on", "no_such_module:Error"], ["--memo", "m", "--key", "math:no_such"],
    ["--memo", "m", "--key", "1+1"], ["--weight", "0"],
])  # fmt: skip
def test_what_the_command_can_t_take(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(map_module, "Queue", Asked)
    run = CliRunner().invoke(map_command, ["math:sqrt", "1", *words])
    assert run.exit_code == click.UsageError.exit_code, run.output
    assert words[-2].lstrip("-") in run.output or words[0].lstrip("-") in run.output


def test_what_no_user_has_named_is_not_shown(any_queue: Queue) -> None:
    queue = Queue(any_queue.name, connection=any_queue.connection)
    plain = queue.map(jobs.square, range(3))
    attached = queue.map(jobs.square, range(3), job_id="nightly", if_exists="attach", results="discard")
    shown = {"if_exists": "attach", "results": "discard"}
    for job, named in ((plain, {}), (attached, shown)):
        [view] = views(job.connection, [job.id])
        assert view is not None
        assert view.items is not None
        assert view.items.terms == named
        assert "digest" not in report.render(job.connection, job.id)
