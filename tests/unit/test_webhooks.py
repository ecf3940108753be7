"""Where webhooks are sent, and where they are not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fakeredis
import pytest
from rq import Webhook
from rq.job import Job

from taskq_workers import webhooks

INSIDE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside(address: str) -> None:
    assert not webhooks.is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_outside(address: str) -> None:
    assert webhooks.is_public(address)


class Listener(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - of the one that listens

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    Listener.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def job_with(*urls: str) -> Job:
    job = Job.create("a.b", connection=fakeredis.FakeRedis())
    job.webhooks = [Webhook(url, "finished", timeout=5) for url in urls]
    return job


def test_not_to_this_machine(port: int, caplog: pytest.LogCaptureFixture) -> None:
    urls = [f"http://{host}:{port}/" for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433")]
    webhooks.send_all(job_with(*urls), "finished", None, private=False)
    assert Listener.asked == []
    assert caplog.text.count("which is no public address; --allow-private-webhooks allows it") == 4


def test_unless_it_is_allowed(port: int) -> None:
    urls = (f"http://127.0.0.1:{port}/a", f"http://127.0.0.1:{port}/b")
    webhooks.send_all(job_with(*urls), "finished", None, private=True)
    webhooks.send_all(job_with(*urls), "failed", None, private=True)
    assert Listener.asked == ["/a", "/b"]


def test_a_redirect_is_not_followed(port: int, caplog: pytest.LogCaptureFixture) -> None:
    webhooks.send_all(job_with(f"http://127.0.0.1:{port}/away"), "finished", None, private=True)
    assert Listener.asked == ["/away"]
    assert "302" in caplog.text


def test_what_a_name_means_is_looked_up_once(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what was looked at is what is connected to."""
    asked: list[str] = []

    def means(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "8.8.8.8" if host == "first.example" and len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected: list[Any] = []

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            connected.append(address[0])
            raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", means)
    monkeypatch.setattr(socket, "socket", Socket)
    for name in ("first.example", "second.example"):
        webhooks.send_all(
            job_with(f"http://{name}:{port}/", f"https://{name}:{port}/"), "finished", None, private=False
        )
    assert connected == ["8.8.8.8"]
    assert asked == ["first.example", "first.example", "second.example", "second.example"]
    assert "no public address" in caplog.text


def test_no_proxy_is_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would reach an address in our place."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    webhooks.send_all(job_with("http://10.255.255.1:9/"), "finished", None, private=False)
    assert Listener.asked == []
