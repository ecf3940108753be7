"""Grouping errors by exception and last frame."""

from __future__ import annotations

from taskq.maps.raised import failure_of
from taskq.payload.outcome import ItemFailure
from taskq.views.error_groups import ErrorGroup, Frame, group_errors, last_frame


def fails(n: int) -> None:
    if n % 2:
        raise ValueError(f"odd: {n}")
    1 / 0  # noqa: B018


def raised(n: int) -> BaseException:
    try:  # as the runner does, whose own frame is not part of the record
        fails(n)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError


def test_groups_by_type_and_place() -> None:
    failures = [failure_of(raised(n), n) for n in (5, 3, 2, 7)]
    large, small = group_errors(iter(failures))
    assert (large.type, large.count, large.sample.index) == ("ValueError", 3, 3)
    assert (small.type, small.count, small.sample.index) == ("ZeroDivisionError", 1, 2)
    assert large.frame.file == __file__
    assert large.frame.function == "fails"
    assert large.frame.line != small.frame.line


def test_one_type_at_two_places_is_two_groups() -> None:
    text = 'Traceback (most recent call last):\n  File "a.py", line {}, in f\n    f()\nKeyError: 1\n'
    failures = [ItemFailure(n, "KeyError", "1", text.format(n % 2 + 1)) for n in range(5)]
    assert [(group.count, str(group.frame)) for group in group_errors(failures)] == [
        (3, "a.py:1 in f"),
        (2, "a.py:2 in f"),
    ]


def test_lost_items_have_no_frame() -> None:
    lost = [ItemFailure.lost(n, "SIGKILL", 3) for n in (4, 2)]
    assert group_errors(lost) == [ErrorGroup("WorkerLostError", Frame(), 2, lost[1])]
    assert str(Frame()) == ""


def test_no_failures() -> None:
    assert group_errors([]) == []


def test_the_last_of_chained_exceptions_counts() -> None:
    text = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nKeyError: 1\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in g\n    y\nValueError: 2\n'
    )
    assert last_frame(text) == Frame("b.py", 2, "g")


def test_frames_inside_an_exception_group() -> None:
    group = '  + Exception Group Traceback (most recent call last):\n  |   File "c.py", line 9, in <module>\n'
    assert last_frame(group) == Frame("c.py", 9, "<module>")
