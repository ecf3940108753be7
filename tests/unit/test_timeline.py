"""Entries of the timeline, read."""

from __future__ import annotations

from taskq.views.timeline import place_of, read
from taskq_workers.dashboard.feed import encode
from taskq_workers.dashboard.rates import WINDOW, Flow, Rates

FIELDS = {
    "job": "a", "chunk": "3:4", "start": "10.5", "end": "11.0", "host": "h", "worker": "taskq-h-m-1-77-ab12cd",
    "lane": "2", "pid": "99", "items": "5", "failed": "1", "deaths": "0", "outcome": "ok",
}  # fmt: skip


def raw(number: int, **changes: str) -> tuple[bytes, dict[bytes, bytes]]:
    fields = {**FIELDS, **changes}
    return b"%d-0" % number, {name.encode(): value.encode() for name, value in fields.items() if value}


def test_entries_are_in_the_order_of_the_stream() -> None:
    entries = read([raw(12), raw(9)])
    assert [entry.id for entry in entries] == ["9-0", "12-0"]
    assert (entries[0].start, entries[0].lane, entries[0].items) == (10.5, 2, 5)


def test_what_is_no_entry_is_left_out() -> None:
    assert read([raw(1, lane="x"), raw(2, job=""), raw(4, end="nan"), (b"3-0", {b"hello": b"\xff"})]) == []


def test_an_entry_without_an_outcome_went_well() -> None:
    assert read([raw(1, outcome="")])[0].outcome == "ok"


def test_a_restarted_service_goes_on_in_its_rows() -> None:
    before, after = read([raw(1), raw(2, worker="taskq-h-m-1-78-ffffff")])
    assert before.row == after.row == ("h", "taskq-h-m-1", 2)
    assert place_of("somebody-else-1") == "somebody-else-1"


def test_entries_travel_by_numbers() -> None:
    told = encode(read([raw(1), raw(2, lane="3", outcome="killed", job="b")]))
    assert told["rows"] == [("h", "taskq-h-m-1", 2), ("h", "taskq-h-m-1", 3)]
    assert told["jobs"] == ["a", "b"]
    assert told["entries"] == [
        [0, 0, "3:4", 10.5, 0.5, 5, 1, 0, "ok"],
        [1, 1, "3:4", 10.5, 0.5, 5, 1, 0, "killed"],
    ]


def test_rates() -> None:
    rates = Rates()
    assert rates.note("a", 100.0, 5) is None
    assert rates.note("a", 102.0, 25) == 10.0
    assert rates.note("a", 100.0 + 3 * WINDOW, 25) == 0.0
    assert rates.note("a", 101.0 + 3 * WINDOW, 3) is None  # tried again: it begins anew
    rates.keep_only([])
    assert rates.note("a", 200.0, 5) is None


def test_flow() -> None:
    flow = Flow()
    flow.note(12.0, read([raw(1), raw(2)]), skipped=False)
    assert flow.rate(12.0) == 10 / WINDOW
    flow.note(12.0, read([raw(3)]), skipped=True)  # only what is known counts
    assert flow.rate(12.0) == 5.0
    flow.note(30.0, [], skipped=False)
    assert flow.rate(30.0) == 0.0
