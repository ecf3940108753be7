"""Which ids a job can have."""

from __future__ import annotations

import uuid

import pytest
from rq.job import validate_job_id

from taskq.redis import ids
from taskq.redis.keys import JOB_KIND
from taskq.redis.kinds import is_left_over, kind_of, mark_of, schema_of

NO_IDS = [
    b"a b",
    b"a\nb",
    b"x;y",
    "é".encode(),
    b"\xff\xfe",
    b"a:b",
    b"",
    b"..",
    b"a}b",
    b"a\n",
    b"*",
    b"\x1b[31m",
]


@pytest.mark.parametrize("raw", NO_IDS)
def test_no_ids(raw: bytes) -> None:
    assert ids.read(raw) is None
    assert ids.read(raw.decode("utf-8", "surrogateescape")) is None
    with pytest.raises(ValueError, match="Job ID"):
        validate_job_id(raw.decode("utf-8", "replace"))
    assert ids.of_execution(raw + b":0123") is None
    assert ids.of_execution(b"fine:" + raw) is None


def test_ids() -> None:
    assert ids.read(b"0f-_Z") == ids.read("0f-_Z") == "0f-_Z"
    assert ids.of_execution(b"0f-_Z:12") == "0f-_Z"
    assert ids.read("a" * ids.LONGEST) is not None
    assert ids.read("a" * (ids.LONGEST + 1)) is None


def test_a_map_has_an_incarnation_and_all_else_is_plain() -> None:
    assert kind_of({JOB_KIND.encode(): b"map a-b 4"}) == ("map", "a-b")
    assert kind_of({JOB_KIND.encode(): b"helper a-b"}) == kind_of({}) == ("", "")


@pytest.mark.parametrize(
    ("fields", "left_over"),
    [
        ({b"created_at": b"2026-01-02T03:04:05.000006Z"}, False),
        ({b"created_at": b"2026-01-02T03:04:05.000007Z"}, True),
        ({b"created_at": b""}, False),  # no date of RQ's: who wrote it is not known
        ({b"created_at": b"x" * 27}, False),
        ({}, False),  # only the mark was read
    ],
)
def test_a_mark_is_of_the_map_that_was_made_then(fields: dict[bytes, bytes], left_over: bool) -> None:
    mark = mark_of("a-b", 6, "2026-01-02T03:04:05.000006Z")
    fields |= {JOB_KIND.encode(): mark.encode()}
    assert is_left_over(fields) == left_over
    assert kind_of(fields) == (("", "") if left_over else ("map", "a-b"))
    assert schema_of(fields) == 6
    assert not is_left_over({JOB_KIND.encode(): b"map a-b 6", b"created_at": b"now"}), "of an older version"


def test_an_id_that_is_drawn_is_a_uuid_as_rq_draws_them() -> None:
    drawn = {ids.draw() for _ in range(1000)}
    assert len(drawn) == 1000
    for one in drawn:
        assert str(uuid.UUID(one)) == one
        assert (uuid.UUID(one).version, uuid.UUID(one).variant) == (4, uuid.RFC_4122)
        assert ids.read(one) == one
