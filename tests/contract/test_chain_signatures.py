"""With a secret key: what somebody who writes to Redis can do to chains and folds, which is no wrong value."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskq import DamagedError, MapFailedError, MapJob, Queue, SignatureError, SourceFailedError
from taskq.maps import source
from taskq.payload import signing
from taskq.redis.keys import MapField
from taskq.testing import drain
from tests import jobs


@pytest.fixture
def keyed(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv(signing.VARIABLE, "correct horse battery staple and more")
    yield Queue(any_queue.name, connection=any_queue.connection)
    signing._in_use.clear()


def before(job: MapJob[Any]) -> MapJob[Any]:
    """The map whose results are its items."""
    follows = job.store.info().terms.follows
    assert follows is not None
    found = MapJob.fetch(follows.id, connection=job.connection, serializer=job.serializer)
    assert isinstance(found, MapJob)
    return found


def frames(data: bytes) -> list[bytes]:
    found = []
    while data:
        [length] = struct.unpack_from(">I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def framed(parts: list[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(one)) + one for one in parts)


def change(job: MapJob[Any], field: str, how: Callable[[bytes], bytes]) -> None:
    k = job.store.keys
    body = job.connection.hget(k.bodies, field)
    changed = how(body)
    assert changed != body
    job.connection.hset(k.bodies, field, changed)


def without(*positions: int) -> Callable[[bytes], bytes]:
    """Leaves parts of a group out."""

    def shortened(body: bytes) -> bytes:
        header, _, data = body.partition(b"\n")
        [group] = frames(data)
        left = [one for number, one in enumerate(frames(group)) if number not in positions]
        return header + b"\n" + framed([framed(left)])

    return shortened


def kind(new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: new + body[1:]


def caught(job: MapJob[Any]) -> None:
    """It fails by what was changed, as one item of it or as a whole."""
    drain_of(job)
    with pytest.raises((DamagedError, SignatureError, MapFailedError)) as raised:
        job.get(timeout=0)
    assert not isinstance(raised.value, MapFailedError) or "none of this map's" in str(raised.value)


def drain_of(job: MapJob[Any]) -> None:
    drain(Queue(job.origin, connection=job.connection))


def done(queue: Queue, count: int) -> MapJob[int]:
    job = queue.map(jobs.square, range(count), chunksize=3)
    drain(queue)
    return job


@pytest.mark.parametrize("of", [0, 1, 2, 5, 6, 7, 23])
@pytest.mark.parametrize("runs", ["before", "after", "open"])
def test_what_nobody_has_changed_is_folded(keyed: Queue, of: int, runs: str) -> None:
    if runs == "open":
        with keyed.open_map(jobs.square) as opened:
            fold = opened.reduce(operator.add, initial=7, chunksize=3)
            opened.put_many(range(of))
    else:
        first = done(keyed, of) if runs == "before" else keyed.map(jobs.square, range(of), chunksize=3)
        fold = first.reduce(operator.add, initial=7, chunksize=3)
    drain(keyed)
    assert fold.get() == 7 + sum(n * n for n in range(of))


@pytest.mark.parametrize(
    ("field", "how"),
    [
        ("0:1", without(2)), ("0:1", without(0, 1)), ("0:1", without(0, 1, 2)), ("0:1", kind(b"r")),
        ("0:1", kind(b"l")), ("2:1", without(0)), ("2:1", without(1)), ("2:1", without(2)), ("2:1", without(1, 2)),
        ("2:1", kind(b"g")), ("2:1", kind(b"r")),
    ],
)  # fmt: skip
def test_a_group_is_whole(keyed: Queue, field: str, how: Callable[[bytes], bytes]) -> None:
    """Of eight results three, three, and the two last, behind the proof."""
    fold = done(keyed, 8).reduce(operator.add, chunksize=3)
    part = before(fold)
    change(part, field, how)
    caught(part)
    with pytest.raises((SourceFailedError, MapFailedError)):
        fold.get(timeout=0)


@pytest.mark.parametrize("how", [without(0), without(1), without(3), without(1, 2, 3), kind(b"g"), kind(b"r")])
def test_the_last_group_is_whole(keyed: Queue, how: Callable[[bytes], bytes]) -> None:
    fold = done(keyed, 3).reduce(operator.add, chunksize=5)
    change(fold, "0:1", how)
    caught(fold)


@pytest.mark.parametrize("new", [b"g", b"l", b"p", b"f"])
def test_a_result_is_no_group(keyed: Queue, new: bytes) -> None:
    second = done(keyed, 2).map(jobs.square, chunksize=1)
    change(second, "0:1", kind(new))
    caught(second)


@pytest.mark.parametrize("together", ["", "0", "1", "2", "4", "1000"])
def test_how_many_are_together_is_announced(keyed: Queue, together: str) -> None:
    first = keyed.map(jobs.square, range(8))
    fold = first.reduce(operator.add, chunksize=3)
    part = before(fold)
    part.connection.hset(part.store.keys.hash, MapField.TOGETHER, together)
    drain(keyed)
    with pytest.raises((SourceFailedError, MapFailedError)):
        fold.get(timeout=0)


def test_a_proof_is_of_one_map(keyed: Queue) -> None:
    first = done(keyed, 3)
    fold = first.reduce(operator.add, chunksize=5)
    other = first.reduce(operator.add, chunksize=5)
    proof = source.proof_of(other.store.known, 2)

    def forged(body: bytes) -> bytes:
        header, _, data = body.partition(b"\n")
        [group] = frames(data)
        return header + b"\n" + framed([framed([proof, *frames(group)[1:3]])])

    change(fold, "0:1", forged)
    caught(fold)
