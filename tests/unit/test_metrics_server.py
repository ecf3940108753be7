"""The worker's endpoint: who may ask for it by which name, and who is slow or comes often."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taskq_workers.manager import metrics_server
from taskq_workers.manager.metrics_server import answer, serve
from tests.waiting import HANGS, LONG, wait_until


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(metrics_server, "_SECONDS", LONG)
    server = serve("127.0.0.1", 0, lambda path, host: ("200 OK", "text/plain", f"{path} {host}".encode()))
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(HANGS)


def get(port: int, **headers: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS)
    connection.request("GET", "/metrics", headers=headers)
    return connection.getresponse().read()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9100", "[::1]:9100", "10.1.2.3", "localhost", "worker:9100", "", "a.b:1"]
)
def test_names_that_are_ours(host: str) -> None:
    assert answer(None, "/", 1, host, {"a.b"})[0].startswith("404")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9100", "127.0.0.1.evil.example", "[", "[::1", "a.b.c"]
)
def test_names_that_are_not(host: str) -> None:
    """A page in a browser here, whose name suddenly means this machine."""
    for path in ("/metrics", "/health"):
        assert answer(None, path, 1, host, {"a.b"})[0].startswith("421")


def test_the_name_is_the_requests(port: int) -> None:
    assert get(port, Host="evil.example") == b"/metrics evil.example"


def test_an_error_is_an_answer_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert answer(None, "/metrics", 1)[0].startswith("500")
    assert "metrics can't be told" in caplog.text


@pytest.mark.parametrize("said", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a"])
def test_a_request_that_does_not_come(port: int, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(metrics_server, "_SECONDS", 0.05)
    with socket.create_connection(("127.0.0.1", port), timeout=HANGS) as slow:
        slow.sendall(said)
        while slow.recv(1 << 16):
            pass


def test_many(port: int) -> None:
    many = [socket.create_connection(("127.0.0.1", port), timeout=HANGS) for _ in range(metrics_server._MOST)]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=HANGS) as more:
            assert more.recv(1) == b""
    finally:
        for one in many:
            one.close()

    def again() -> Any:
        try:
            return get(port)
        except (ConnectionError, http.client.RemoteDisconnected):
            return None

    wait_until(again)
