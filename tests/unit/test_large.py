"""Large objects leave the pickles that hold them, and are found again where they lie."""

from __future__ import annotations

import array
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import DamagedError
from taskq.maps import terms
from taskq.payload import codec, large
from taskq.payload.function import Function
from taskq.payload.large import LEAST, PIECE, Apart, Blob, Ref, Told
from taskq.payload.prepared import PreparedFunction
from tests.waiting import HANGS

MUCH = np.arange(LEAST // 8 + 100, dtype=np.float64)


def whole(blob: Blob) -> bytes:
    return b"".join(blob.pieces())


@pytest.fixture
def offered() -> Iterator[Any]:
    """Offers blobs, until the test's end."""
    names = []

    def offer(blob: Blob) -> str:
        data = memoryview(whole(blob))
        large.offer(blob.digest, lambda: data)
        names.append(blob.digest)
        return blob.digest

    yield offer
    large.withdraw(names)


VALUES = {
    "ndarray": MUCH, "bytes": os.urandom(LEAST), "bytearray": bytearray(LEAST + 1),
    "array": array.array("d", MUCH.tobytes()), "nested": {"a": MUCH, "b": [MUCH[::2], 1], "c": "text"},
    "small": [1, 2], "memoryview": memoryview(MUCH.reshape(-1, 4)),
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_is_written_is_read(value: Any) -> None:
    blob = large.blob_of(value)
    data = whole(blob)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (blob.size, blob.digest)
    found = large.value_in(memoryview(data))
    assert type(found) is type(value)
    np.testing.assert_equal(found, value)


def test_an_array_is_seen_where_it_lies_and_can_not_be_written_to() -> None:
    data = bytearray(whole(large.blob_of(MUCH)))
    found = large.value_in(memoryview(data).toreadonly())
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1.0
    assert np.shares_memory(found, np.frombuffer(data, dtype=np.uint8))
    assert found.ctypes.data % 8 == 0


@given(st.lists(st.integers(0, 3 * PIECE), max_size=3), st.integers(0, 2 * PIECE))
def test_pieces_of_any_sizes(sizes: list[int], pickled: int) -> None:
    buffers = [memoryview(os.urandom(size)) for size in sizes]
    blob = Blob(bytes(pickled), buffers)
    pieces = list(blob.pieces())
    assert [len(piece) for piece in pieces[:-1]] == [PIECE] * (len(pieces) - 1)
    assert len(pieces) == Told(blob.digest, blob.size).count
    large.offer(blob.digest, lambda: memoryview(b"".join(pieces)))
    found, parts = large.parts_of(blob.digest)
    large.withdraw([blob.digest])
    assert (found.nbytes, [*map(bytes, parts)]) == (pickled, [*map(bytes, buffers)])


def test_what_is_small_or_in_parts_stays_in_the_pickle() -> None:
    apart = Apart()
    data = codec.dumps([MUCH[: LEAST // 16], MUCH[::-1], MUCH], apart=apart)
    assert [buffer.nbytes for buffer in apart.buffers] == [MUCH.nbytes]
    assert MUCH.nbytes < len(data) < MUCH.nbytes * 2


def test_what_can_not_be_pickled_plainly_leaves_nothing_twice() -> None:
    apart = Apart()
    data = codec.dumps([MUCH, lambda: MUCH], apart=apart)
    assert len(apart.buffers) == 1, "of the try before it nothing is left"
    assert codec.loads(data, apart.buffers)[1]().nbytes == MUCH.nbytes


@pytest.mark.parametrize("cut", [0, 7, 15, 20, LEAST, -100])
def test_damaged(cut: int) -> None:
    with pytest.raises(DamagedError):
        large.value_in(memoryview(whole(large.blob_of(MUCH))[:cut]))


@given(st.text() | st.binary().map(bytes.hex) | st.from_regex(r"[0-9a-f]{64}:[0-9]{1,20}(:.*)?", fullmatch=True))
def test_names(text: str) -> None:
    try:
        told = Told.read(text)
    except DamagedError:
        return
    assert str(told).replace(":0", ":") == text.replace(":0", ":") or int(text.split(":")[1]) == told.size


@pytest.mark.parametrize("kept", ["", "0123456789abcdef" * 2])
def test_a_name_is_read_as_written(kept: str) -> None:
    told = Told("ab" * 32, 12345, kept)
    assert Told.read(str(told)) == told


def test_a_reference_is_the_object_itself(offered: Any) -> None:
    digest = offered(large.blob_of({"table": MUCH}))
    data = codec.dumps((Ref(digest[: large.SHORT]), 7))
    assert len(data) < 150
    one, another = codec.loads(data)[0], codec.loads(data)[0]
    one["more"] = 1
    assert set(another) == {"table"}, "each item has its own, as if it had been sent"
    assert np.shares_memory(one["table"], another["table"])


def test_bytes_are_made_once(offered: Any) -> None:
    digest = offered(large.blob_of(bytes(LEAST)))
    assert large.value_of(digest) is large.value_of(digest)


def test_a_blob_of_nobody() -> None:
    with pytest.raises(DamagedError, match="belongs to another map"):
        large.value_of("0" * 64)


@pytest.mark.parametrize("code", [False, True])
def test_a_function(offered: Any, code: bool) -> None:
    text = "x" * LEAST if code else ""
    function = Function.of(lambda n: (MUCH[n], len(text)), share=True)
    assert function.apart is not None
    data = codec.dumps(function)
    assert len(data) < 10_000
    offered(function.apart)
    arrived: Function = codec.loads(data)
    assert arrived(3) == (3.0, len(text))
    again: Function = codec.loads(codec.dumps(arrived))
    large.withdraw([function.digest])
    assert again(4) == (4.0, len(text)), "one that goes on to somewhere else takes all along"


@pytest.mark.parametrize("apart", [False, True])
def test_a_function_with_its_initializer(offered: Any, apart: bool) -> None:
    """Both by value, so in one pickle; or each by itself."""
    kept: list[Any] = []
    first = max if apart else (lambda table, _other: kept.append(table.nbytes))
    prepared = PreparedFunction.prepare(lambda n: (float(MUCH[n]), [*kept]), first, (MUCH, MUCH[:1]), share=True)
    assert len(prepared.blobs) == 1 + apart
    data = codec.dumps(prepared)
    assert len(data) < 10_000
    for blob in prepared.blobs:
        offered(blob)
    arrived: PreparedFunction = codec.loads(data)
    again: PreparedFunction = codec.loads(codec.dumps(arrived))
    for one in (arrived, again):
        if not apart:
            one.load_initializer()()
        assert one(3) == (3.0, [] if apart else [MUCH.nbytes])


@pytest.mark.parametrize("blobs", ["x", f"{'a' * 64}:1 y", f"{'a' * 64}:1:z"])
def test_terms_that_name_none(blobs: str) -> None:
    with pytest.raises(DamagedError):
        terms.read(json.dumps({"blobs": blobs}))


def test_one_without_anything_large_is_as_ever() -> None:
    assert codec.dumps(Function.of(len, share=True)) == codec.dumps(Function.of(len))


def test_a_memoryview_travels_as_one() -> None:
    for view in (memoryview(b"abc"), memoryview(array.array("i", range(6))).cast("B").cast("i", (2, 3))):
        found = codec.loads(codec.dumps(view))
        assert (type(found), found.format, found.shape, found) == (memoryview, view.format, view.shape, view)
    assert codec.loads(codec.dumps(memoryview(b"abcdef")[::2])).tobytes() == b"ace"


def test_nothing_is_imported_for_it() -> None:
    told = "import sys; from taskq import Queue; from taskq.payload import large; large.blob_of(bytes(1 << 21)); "
    code = f"{told} sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANGS)
