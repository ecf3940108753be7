"""Who sends slowly, reads nothing or comes often costs the page one connection, and not the page."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taskq_workers.dashboard import connections
from taskq_workers.dashboard.server import Server
from taskq_workers.dashboard.settings import DashboardSettings
from tests.waiting import HANGS, LONG, wait_until

LARGE = 64 << 20  # bytes; more than any buffer between the two ends holds


async def closed() -> None: ...


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/wait":
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body", "body": b"x" * (LARGE if scope["path"] == "/large" else 5)})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(connections, "HEADERS", LONG)
    monkeypatch.setattr(connections, "READS", LONG)
    page: Any = SimpleNamespace(app=app, feed=SimpleNamespace(close=closed))
    server = Server(DashboardSettings("redis://localhost", port=0), page)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(HANGS)
    assert not thread.is_alive()


def connect(address: tuple[str, int], said: bytes = b"") -> socket.socket:
    found = socket.create_connection(address, timeout=HANGS)
    found.sendall(said)
    return found


def heard(connection: socket.socket) -> bytes:
    """All until the other end closes."""
    found = bytearray()
    try:
        while part := connection.recv(1 << 16):
            found += part
    except ConnectionResetError:
        pass
    return bytes(found)


def is_closed(connection: socket.socket) -> bool:
    """Say one header more, and look."""
    try:
        connection.sendall(b"X: y\r\n")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a", GET % b"" + b"GET /"])
def test_a_request_that_does_not_come(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADERS", 0.05)
    with connect(address, said) as slow:
        assert heard(slow).count(b"200 OK") == said.count(b"\r\n\r\n")


def test_one_drop_after_the_other(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS", 0.2)
    with connect(address, b"GET / HTTP/1.1\r\n") as slow:
        slow.settimeout(0.01)
        wait_until(lambda: is_closed(slow))


def test_an_answer_that_takes_long_is_waited_for(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open page's stream of events lasts for hours."""
    monkeypatch.setattr(connections, "HEADERS", 0.05)
    with connect(address, GET % b"wait") as waiting:
        assert b"200 OK" in waiting.recv(100)
        with connect(address) as slow:
            assert heard(slow) == b""  # the time is over
        waiting.settimeout(0.05)
        with pytest.raises(TimeoutError):
            waiting.recv(100)


def test_an_answer_that_nobody_reads(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READS", 0.05)
    with connect(address, GET % b"large") as lazy, connect(address) as other:
        cut = threading.Event()
        monkeypatch.setattr(connections.log, "info", lambda *_args, **_named: cut.set())
        wait_until(cut.is_set)
        assert len(heard(lazy)) < LARGE
        other.sendall(CLOSE)
        assert b"200 OK" in heard(other)


def test_one_that_is_read_is_not_cut_off(address: tuple[str, int]) -> None:
    with connect(address, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % b"large") as eager:
        assert len(heard(eager)) > LARGE


def test_many(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    many = [connect(address, GET % b"wait") for _ in range(3)]
    try:
        assert all(b"200 OK" in one.recv(100) for one in many)
        with connect(address) as more:
            assert heard(more) == b""
    finally:
        for one in many:
            one.close()

    def again() -> bool:
        with connect(address, CLOSE) as one:
            return b"200 OK" in heard(one)

    wait_until(again)


def test_headers_without_end(address: tuple[str, int]) -> None:
    with connect(
        address, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * (connections.HEAD_SIZE + 1000)
    ) as one:
        assert b"400" in heard(one)
