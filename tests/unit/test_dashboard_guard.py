"""Who may come in, and from where."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.responses import PlainTextResponse

from taskq.errors import OptionError
from taskq_workers.cli.dashboard import dashboard
from taskq_workers.dashboard import guard, guesses
from taskq_workers.dashboard.guard import COOKIE, HEADERS, Guard, session, sign_in
from taskq_workers.dashboard.guesses import FREE, Guesses
from taskq_workers.dashboard.settings import DashboardSettings

SECRET = "secret-of-16-or-more"  # noqa: S105
ANN = "ann:pass:word-of-12"
OPEN = DashboardSettings("redis://localhost")
TOKEN = DashboardSettings("redis://localhost", host="0.0.0.0", token=SECRET)  # noqa: S104
BASIC = DashboardSettings("redis://localhost", host="0.0.0.0", basic_auth=ANN)  # noqa: S104


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "PAUSE", 0)


def as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def ask(
    settings: DashboardSettings, path: str = "/", method: str = "GET", body: bytes = b"", scheme: str = "http",
    known: Guesses | None = None, **headers: str | bytes,
) -> Any:  # fmt: skip
    """The status and the headers of the answer."""
    known = known or Guesses()
    heard: list[Any] = []
    named = {"host": "127.0.0.1:8700", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "scheme": scheme,
        "client": ("10.0.0.7", 4711),
        "headers": [(name.encode(), as_bytes(value)) for name, value in named.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        heard.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        answer: Any = PlainTextResponse("inside")
        if scope["path"] == "/login" and scope["method"] == "POST":
            answer = await sign_in(Request(scope, receive), settings, known, "<p hidden>")
        await answer(scope, receive, send)

    asyncio.run(Guard(app, settings, known)(scope, receive, send))
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
    assert ask(TOKEN, authorization=f"Bearer {SECRET}")[0] == 200
    assert ask(TOKEN, authorization="Bearer wrong")[0] == 401
    assert ask(TOKEN, authorization=basic(f"ann:{SECRET}"))[0] == 401
    assert ask(TOKEN, cookie=f"{COOKIE}={session(SECRET)}")[0] == 200
    assert ask(TOKEN, cookie=f"{COOKIE}={SECRET}")[0] == 401
    assert ask(TOKEN, accept="text/html")[1]["location"] == "/login"


def test_sign_in() -> None:
    status, headers = ask(TOKEN, "/login", "POST", f"token={SECRET}".encode(), origin="http://127.0.0.1:8700")
    assert (status, headers["location"]) == (303, "/")
    assert "Secure" not in headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(headers["set-cookie"].split("; "))
    assert SECRET not in headers["set-cookie"]
    for wrong in (b"token=wrong", b"", b"token=%ff", b"\xff"):
        status, headers = ask(TOKEN, "/login", "POST", wrong, origin="http://127.0.0.1:8700")
        assert status == 403
        assert "set-cookie" not in headers
    assert ask(TOKEN, "/login", "POST", b"x" * 5000, origin="http://127.0.0.1:8700")[0] == 413


def test_basic_auth() -> None:
    status, headers = ask(BASIC)
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic ")
    assert ask(BASIC, authorization=basic(ANN))[0] == 200
    for wrong in ("ann:", "ann", ":", "ann:pass", "bob:pass:word-of-12"):
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
    with pytest.raises(OptionError, match="--token-file"):
        DashboardSettings("redis://localhost", host=host)
    for guarded in ({"token": SECRET}, {"basic_auth": ANN}, {"no_auth": True}):
        assert DashboardSettings("redis://localhost", host=host, **guarded)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_to_this_machine(host: str) -> None:
    assert not DashboardSettings("redis://localhost", host=host).protected


@pytest.mark.parametrize("wrong", ["ann", "ann:", ":word"])
def test_malformed_basic_auth(wrong: str) -> None:
    with pytest.raises(OptionError, match="user:password"):
        DashboardSettings("redis://localhost", basic_auth=wrong)


def test_no_secret_in_a_repr() -> None:
    hidden = "hidden-hidden-hidden"
    settings = DashboardSettings("redis://:hidden@localhost", token=hidden, basic_auth=f"a:{hidden}")
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("options", [{"token": "x" * 15}, {"basic_auth": "ann:short"}])
def test_what_can_be_guessed_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="can be guessed"):
        DashboardSettings("redis://localhost", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [OPEN, TOKEN, BASIC], ids=["open", "token", "basic"])
@pytest.mark.parametrize("name", ["authorization", "cookie", "origin", "host", "x_requested_with", "accept"])
@pytest.mark.parametrize(
    "wrong",
    [b"\xff\xfe", b"Bearer \xff", b"Bearer \xed\xa0\x80", b"Basic \xff", b"Basic /w==", b"Basic " + b"A" * 9999,
     b"[", b"taskq_dashboard=\xff", b"http://[", b"\x00", "Bearer \u0661".encode(), b"Bearer", b""],
)  # fmt: skip
def test_bytes_of_all_kinds_are_no_error(settings: DashboardSettings, name: str, wrong: bytes) -> None:
    for method in ("GET", "POST"):
        more: dict[str, Any] = {"x_requested_with": "taskq"} if method == "POST" else {}
        assert ask(settings, "/jobs", method, **{**more, name: wrong})[0] in (200, 401, 403, 421)


def test_guesses_wait_are_logged_and_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(guesses, "PAUSE", 1.0)
    monkeypatch.setattr(guesses.asyncio, "sleep", sleep)
    known = Guesses()
    with caplog.at_level(logging.WARNING):
        for at in range(FREE):
            if at % 2:
                assert ask(TOKEN, known=known, authorization=f"Bearer wrong{at}")[0] == 401
            else:
                told = ask(TOKEN, "/login", "POST", b"token=wrong", known=known, origin="http://127.0.0.1:8700")
                assert told[0] == 403
    assert waited == [1.0] * FREE
    assert caplog.text.count("from 10.0.0.7") == FREE
    assert "wrong0" not in caplog.text  # it may be the right one with a slip
    assert ask(TOKEN, known=known, authorization=f"Bearer {SECRET}")[0] == 429
    right = f"token={SECRET}".encode()
    assert ask(TOKEN, "/login", "POST", right, known=known, origin="http://127.0.0.1:8700")[0] == 429
    assert ask(TOKEN, known=known, cookie=f"{COOKIE}={session(SECRET)}")[0] == 200  # who is in stays in
    later = guesses.time.monotonic() + guesses.WINDOW
    monkeypatch.setattr(guesses.time, "monotonic", lambda: later)
    assert ask(TOKEN, known=known, authorization=f"Bearer {SECRET}")[0] == 200


def test_addresses_are_not_remembered_without_end() -> None:
    known = Guesses()

    async def guess() -> None:
        for at in range(guesses._KNOWN + 10):
            await known.wrong(f"10.0.{at >> 8}.{at & 255}", "token")

    asyncio.run(guess())
    assert len(known._seen) == guesses._KNOWN


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [("https", {}), ("http", {"x_forwarded_proto": "https"}), ("http", {"x_forwarded_proto": "HTTPS, http"})],
)
def test_behind_tls_the_cookie_is_never_sent_without(scheme: str, headers: dict[str, str]) -> None:
    told = ask(TOKEN, "/login", "POST", f"token={SECRET}".encode(), scheme, x_requested_with="taskq", **headers)
    assert "Secure" in told[1]["set-cookie"].split("; ")


def test_a_form_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.requests import Request

    monkeypatch.setattr(guard, "FORM_SECONDS", 0.01)
    scope = {"type": "http", "method": "POST", "path": "/login", "headers": [], "scheme": "http"}

    async def receive() -> Any:
        await asyncio.Event().wait()

    assert asyncio.run(sign_in(Request(scope, receive), TOKEN, Guesses(), "")).status_code == 408


@pytest.mark.parametrize("option", ["--token", "--basic-auth"])
def test_no_secret_on_the_command_line(option: str) -> None:
    told = CliRunner().invoke(dashboard, [option, ANN])
    assert told.exit_code == 2
    assert f"{option}-file" in told.output
    assert "word-of-12" not in told.output


@pytest.mark.parametrize("name", ["TASKQ_DASHBOARD_TOKEN", "TASKQ_DASHBOARD_BASIC_AUTH"])
@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_secret_does_not_open_the_page(
    name: str, blank: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, blank)
    with pytest.raises(OptionError, match="is blank"):
        CliRunner().invoke(dashboard, [], catch_exceptions=False)
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", "")
    with pytest.raises(OptionError, match="_FILE is blank"):
        CliRunner().invoke(dashboard, [], catch_exceptions=False)
    (tmp_path / "secret").write_text(blank)
    for path, said in ((tmp_path / "secret", "is blank"), (tmp_path / "nothing", "can't be read")):
        monkeypatch.setenv(f"{name}_FILE", str(path))
        with pytest.raises(OptionError, match=said):
            CliRunner().invoke(dashboard, [], catch_exceptions=False)
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(OptionError, match="both set"):
        CliRunner().invoke(dashboard, [], catch_exceptions=False)
    monkeypatch.delenv(f"{name}_FILE")
    option = "--token-file" if "TOKEN" in name else "--basic-auth-file"
    with pytest.raises(OptionError, match=f"{name} and a file \\({option}"):
        CliRunner().invoke(dashboard, [option, str(tmp_path / "secret")], catch_exceptions=False)
