"""Who may come in: every request passes here before anything else looks at it.

- **Host.** Without a password, a request must come for an IP address, ``localhost`` or an allowed name: a page of
  an attacker whose DNS name suddenly means 127.0.0.1 comes with its own name (DNS rebinding).
- **Who.** A token (``Authorization: Bearer``, or a cookie that the sign-in sets) or basic auth.
- **Origin.** What changes something must come from our own page, whatever the browser sends along (CSRF).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskq_workers.dashboard.settings import DashboardSettings, is_address

COOKIE = "taskq_dashboard"
OPEN_PATHS = frozenset({"/health", "/login", "/static/page.css", "/static/icon.svg"})
MAX_FORM = 4096  # bytes of a sign-in

HEADERS = {
    # Nothing from anywhere else, no inline script, not inside another page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: DashboardSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        answer: ASGIApp = self._refusal(request) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._knows_host(request):
            return PlainTextResponse(
                f"This page is not served as {request.headers.get('host', '')!r}. If that is its name, start it "
                "with --allow-host NAME.\n", 421)  # fmt: skip
        if request.method not in ("GET", "HEAD") and not _from_here(request):
            return PlainTextResponse("This must be asked for by the page itself.\n", 403)
        if request.url.path in OPEN_PATHS or not self._settings.protected or self._knows(request):
            return None
        if self._settings.token and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        headers = {"WWW-Authenticate": 'Basic realm="taskq", charset="UTF-8"'} if self._settings.basic_auth else {}
        return PlainTextResponse("Who are you? A token or a password is needed.\n", 401, headers)

    def _knows_host(self, request: Request) -> bool:
        if self._settings.protected:
            return True  # another name has no cookie and no password
        host = _host_of(request.headers.get("host", ""))
        return host in ("localhost", self._settings.host, *self._settings.allow_hosts) or is_address(host)

    def _knows(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        settings = self._settings
        if settings.token:
            if kind.lower() == "bearer" and same(given.strip(), settings.token):
                return True
            if same(request.cookies.get(COOKIE, ""), session(settings.token)):
                return True
        return bool(settings.basic_auth) and kind.lower() == "basic" and same(_decoded(given), settings.basic_auth)


async def sign_in(request: Request, settings: DashboardSettings, form: str) -> Response:
    """Answer the form of the sign-in page: a cookie for the right token, the form again for a wrong one."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            return PlainTextResponse("That is no token.\n", 413)
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    if not (settings.token and same(given.strip(), settings.token)):
        return Response(form.replace("hidden", "", 1), 403, media_type="text/html")
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session(settings.token), httponly=True, samesite="strict", secure=secure)
    return answer


def session(token: str) -> str:
    """What the cookie holds: it proves the token and does not tell it, and outlives a restart of the server."""
    return hmac.digest(token.encode(), b"taskq dashboard session", hashlib.sha256).hex()


def same(given: str, wanted: str) -> bool:
    """Compare in a time which says nothing about where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _from_here(request: Request) -> bool:
    """Whether our own page sent it. A program without a browser sends no Origin; it must say so by a header."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("x-requested-with") == "taskq"
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""


def _host_of(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
