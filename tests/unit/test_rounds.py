"""What a service asks each second about its maps."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from taskq.maps import caps
from taskq.maps.terms import NONE
from taskq.redis.keys import MapKeys
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.jobs import closing, rounds
from taskq_workers.service.jobs.rounds import CHECKED, Rounds
from taskq_workers.service.rq.job import ServiceJob

NO_FEEDER = [None, None]
NO_CAPS = [None, None]
GOES_ON = None  # not paused
OPEN = [b"1", b"open", b"10", b"3", None, *NO_FEEDER, *NO_CAPS, GOES_ON]


def run_of(name: str, **changes: Any) -> MapRun:
    store = Mock(keys=MapKeys(name, "1"))
    return MapRun(Mock(), Mock(), Mock(), {}, store=store, info=Mock(terms=NONE, caps=caps.NONE), **changes)


class Service:
    """Its state, and what it looks at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: list[MapRun]) -> None:
        self.maps, self.replies, self.trips = runs, dict.fromkeys(runs, OPEN), 0
        self.jobs: dict[MapRun, Any] = {}
        self.seen: list[MapRun] = []
        self.connection = SimpleNamespace(pipeline=self.pipeline)
        self.rounds = Rounds(cast("Any", self))
        monkeypatch.setattr(closing, "look", lambda _state, run: self.seen.append(run))

    def pipeline(self, **_options: Any) -> Any:
        self.trips += 1
        pipe = Mock()
        jobs = [self.jobs.get(run, [b"map", b"started"]) for run in self.maps if not run.guest]
        pipe.execute.return_value = [*(self.replies[run] for run in self.maps), *jobs]
        return Mock(__enter__=lambda _: pipe, __exit__=lambda *_: None)

    def round(self) -> list[MapRun]:
        self.seen = []
        self.rounds.look()
        return self.seen


@pytest.mark.parametrize("count", [1, CHECKED, CHECKED + 1, 10 * CHECKED + 7])
def test_of_maps_that_rest_a_few_are_looked_at_each_time_and_all_in_turn(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    service = Service(monkeypatch, [run_of(f"m{n}") for n in range(count)])
    seen: set[MapRun] = set()
    for _ in range(-(-count // CHECKED)):
        found = service.round()
        assert len(found) == len(set(found)) <= CHECKED
        seen.update(found)
    assert seen == {*service.maps}
    assert service.trips == -(-count // CHECKED)


@pytest.mark.parametrize(
    "reply",
    [
        [b"1", b"closed", b"10", b"3", None, *NO_FEEDER, *NO_CAPS, GOES_ON],
        [b"1", b"open", b"10", b"7", b"3", *NO_FEEDER, *NO_CAPS, GOES_ON],
        [b"2", b"open", b"10", b"3", None, *NO_FEEDER, *NO_CAPS, GOES_ON],
        [b"1", b"open", b"ten", b"3", None, *NO_FEEDER, *NO_CAPS, GOES_ON],
        [None] * 10,
        ValueError("WRONGTYPE"),
    ],
)
def test_what_is_over_is_seen_at_once(monkeypatch: pytest.MonkeyPatch, reply: Any) -> None:
    service = Service(monkeypatch, [run_of(f"m{n}", guest=bool(n % 2)) for n in range(3 * rounds.CHECKED)])
    for run in service.maps:
        service.replies[run] = reply
    assert service.round() == service.maps


def test_of_what_has_chunks_in_hand_nothing_more_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    own, guest = run_of("own", flying={1: Mock()}), run_of("guest", guest=True)
    assert Service(monkeypatch, [own, guest]).round() == []


def test_a_pause_of_which_no_message_told_is_seen_where_something_is_in_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rest, works = run_of("rest"), run_of("works", ready=deque([Mock()]))
    service = Service(monkeypatch, [rest, works])
    service.replies = {run: [*OPEN[:-1], b"1"] for run in service.maps}
    assert works in service.round()
    service.replies[works] = OPEN
    assert works not in service.round()


@pytest.mark.parametrize(
    ("job", "canceled"),
    [
        ([b"map:1", b"canceled"], True),
        ([b"map:1", b"started"], False),
        ([b"map:2", b"canceled"], False),  # of another life of the id
        ([None, b"canceled"], False),  # a plain job has the id now
        ([None, None], False),  # gone, maybe by its time to live: our books say what becomes of the map
        (ValueError("WRONGTYPE"), False),
    ],
)
def test_a_map_whose_job_was_cancelled_by_a_tool_of_rq_s_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, job: Any, canceled: bool
) -> None:
    run, guest = (run_of(name, guest=name == "guest") for name in ("own", "guest"))
    run.job = guest.job = ServiceJob(id="m", connection=Mock())
    run.job.mark = "map:1"
    service = Service(monkeypatch, [run, guest])
    service.jobs[run] = job
    service.round()
    assert run.store.cancel.called == canceled
    assert not guest.store.cancel.called
    assert (run in service.seen) is True
