"""Who may come in, and from where."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from taskq.errors import OptionError
from taskq_workers.dashboard.guard import COOKIE, HEADERS, Guard, session, sign_in
from taskq_workers.dashboard.settings import DashboardSettings

OPEN = DashboardSettings("redis://localhost")
TOKEN = DashboardSettings("redis://localhost", host="0.0.0.0", token="secret")  # noqa: S104, S106
BASIC = DashboardSettings("redis://localhost", host="0.0.0.0", basic_auth="ann:pass:word")  # noqa: S104


def ask(
    settings: DashboardSettings, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str
) -> Any:
    """The status and the headers of the answer."""
    heard: list[Any] = []
    named = {"host": "127.0.0.1:8700", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        heard.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        answer: Any = PlainTextResponse("inside")
        if scope["path"] == "/login" and scope["method"] == "POST":
            answer = await sign_in(Request(scope, receive), settings, "<p hidden>")
        await answer(scope, receive, send)

    asyncio.run(Guard(app, settings)(scope, receive, send))
    return heard[0]["status"], {name.decode(): value.decode() for name, value in heard[0]["headers"]}


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "localhost", "[::1]:8700", "192.168.1.5"])
def test_addresses_are_known_hosts(host: str) -> None:
    assert ask(OPEN, host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8700", "127.0.0.1.evil.example", "", "[", "localhost.evil.example"]
)
def test_a_name_that_means_this_machine_is_refused(host: str) -> None:
    assert ask(OPEN, host=host)[0] == 421


def test_an_allowed_name() -> None:
    settings = DashboardSettings("redis://localhost", allow_hosts=("taskq.example",))
    assert ask(settings, host="taskq.example:80")[0] == 200
    assert ask(settings, host="other.example")[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "http://127.0.0.1:8700"}, 200),
        ({"x_requested_with": "taskq"}, 200),
        ({"x_requested_with": "taskq", "origin": "https://evil.example"}, 403),
    ],
)
def test_only_the_page_itself_changes_anything(headers: dict[str, str], status: int) -> None:
    assert ask(OPEN, "/jobs/1/cancel", "POST", **headers)[0] == status


def test_a_token() -> None:
    assert ask(TOKEN)[0] == 401
    assert ask(TOKEN, authorization="Bearer secret")[0] == 200
    assert ask(TOKEN, authorization="Bearer wrong")[0] == 401
    assert ask(TOKEN, authorization=basic("ann:secret"))[0] == 401
    assert ask(TOKEN, cookie=f"{COOKIE}={session('secret')}")[0] == 200
    assert ask(TOKEN, cookie=f"{COOKIE}=secret")[0] == 401
    assert ask(TOKEN, accept="text/html")[1]["location"] == "/login"


def test_sign_in() -> None:
    status, headers = ask(TOKEN, "/login", "POST", b"token=secret", origin="http://127.0.0.1:8700")
    assert (status, headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= set(headers["set-cookie"].split("; "))
    assert "secret" not in headers["set-cookie"]
    for wrong in (b"token=wrong", b"", b"token=%ff", b"\xff"):
        status, headers = ask(TOKEN, "/login", "POST", wrong, origin="http://127.0.0.1:8700")
        assert status == 403
        assert "set-cookie" not in headers
    assert ask(TOKEN, "/login", "POST", b"x" * 5000, origin="http://127.0.0.1:8700")[0] == 413


def test_basic_auth() -> None:
    status, headers = ask(BASIC)
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic ")
    assert ask(BASIC, authorization=basic("ann:pass:word"))[0] == 200
    for wrong in ("ann:", "ann", ":", "ann:pass", "bob:pass:word"):
        assert ask(BASIC, authorization=basic(wrong))[0] == 401
    assert ask(BASIC, authorization="Basic ***")[0] == 401


@pytest.mark.parametrize("path", ["/health", "/login"])
def test_open_to_all(path: str) -> None:
    assert ask(TOKEN, path)[0] == 200


@pytest.mark.parametrize("settings", [OPEN, TOKEN])
def test_headers_on_every_answer(settings: DashboardSettings) -> None:
    headers = ask(settings)[1]
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= headers.items()
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "taskq.example"])  # noqa: S104
def test_not_to_strangers_without_a_password(host: str) -> None:
    with pytest.raises(OptionError, match="--token"):
        DashboardSettings("redis://localhost", host=host)
    for guarded in ({"token": "x"}, {"basic_auth": "a:b"}, {"no_auth": True}):
        assert DashboardSettings("redis://localhost", host=host, **guarded)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_to_this_machine(host: str) -> None:
    assert not DashboardSettings("redis://localhost", host=host).protected


@pytest.mark.parametrize("wrong", ["ann", "ann:", ":word"])
def test_malformed_basic_auth(wrong: str) -> None:
    with pytest.raises(OptionError, match="user:password"):
        DashboardSettings("redis://localhost", basic_auth=wrong)


def test_no_secret_in_a_repr() -> None:
    settings = DashboardSettings("redis://:hidden@localhost", token="hidden", basic_auth="a:hidden")  # noqa: S106
    assert "hidden" not in repr(settings)
