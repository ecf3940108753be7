"""A socket on which nobody waits for a server that is not the right one any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from taskq.redis import watched
from taskq.redis.watched import Watched
from tests.waiting import HANGS


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(watched, "PACE", 0.001)
    ours, theirs = socket.socketpair()
    ours.settimeout(HANGS)
    theirs.settimeout(HANGS)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_wait_ends_when_another_is_the_primary(pair: tuple[socket.socket, socket.socket]) -> None:
    asked: list[int] = []

    def instead() -> str:
        asked.append(1)
        return "10.0.0.2:6379" if len(asked) > 3 else ""

    with pytest.raises(ConnectionResetError, match=r"the primary is 10\.0\.0\.2:6379 now"):
        Watched(pair[0], instead).recv_into(bytearray(10))
    assert len(asked) == 4


def test_nothing_is_said_to_another(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ConnectionResetError):
        Watched(pair[0], lambda: "another").sendall(b"SET a 1")
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_a_send_ends_when_nobody_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    asked: list[int] = []

    def instead() -> str:
        asked.append(1)
        return "another" if len(asked) > 2 else ""

    with pytest.raises(ConnectionResetError):
        Watched(pair[0], instead).sendall(bytes(50_000_000))


def test_what_is_large_arrives_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    data = bytes(range(256)) * 20_000
    sender = threading.Thread(target=Watched(pair[0], str).sendall, args=(memoryview(data),))
    sender.start()
    reader, got = Watched(pair[1], str), b""
    while len(got) < len(data):
        got += reader.recv(1 << 20)
    sender.join(HANGS)
    assert got == data


def test_the_sockets_own_time_limit_holds(pair: tuple[socket.socket, socket.socket]) -> None:
    wrapped = Watched(pair[0], str)
    wrapped.settimeout(0.01)
    with pytest.raises(TimeoutError):
        wrapped.recv(1)
    wrapped.settimeout(0)
    with pytest.raises(BlockingIOError):
        wrapped.recv(1)
