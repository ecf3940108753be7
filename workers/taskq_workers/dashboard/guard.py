"""Who may come in: every request passes here before anything else looks at it.

- **Host.** Without a password, a request must come for an IP address, ``localhost`` or an allowed name: a page of
  an attacker whose DNS name suddenly means 127.0.0.1 comes with its own name (DNS rebinding).
- **Who.** A token (``Authorization: Bearer``, or a cookie that the sign-in sets) or basic auth; wrong ones wait.
- **Origin.** What changes something must come from our own page, whatever the browser sends along (CSRF).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskq_workers import hosts
from taskq_workers.dashboard.guesses import Guesses
from taskq_workers.dashboard.settings import DashboardSettings

COOKIE = "taskq_dashboard"
OPEN_PATHS = frozenset({"/health", "/login", "/static/page.css", "/static/icon.svg"})
MAX_FORM = 4096  # bytes of a sign-in
FORM_SECONDS = 10.0  # which it may take
TOO_MANY = "Too many wrong ones came from your address: wait a minute.\n"

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

    def __init__(self, app: ASGIApp, settings: DashboardSettings, guesses: Guesses | None = None) -> None:
        self._app = app
        self._settings = settings
        self._guesses = guesses or Guesses()

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
        answer: ASGIApp = await self._refusal(request) or self._app
        await answer(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        if not self._knows_host(request):
            return PlainTextResponse(
                f"This page is not served as {request.headers.get('host', '')!r}. If that is its name, start it "
                "with --allow-host NAME.\n", 421)  # fmt: skip
        if request.method not in ("GET", "HEAD") and not _from_here(request):
            return PlainTextResponse("This must be asked for by the page itself.\n", 403)
        if request.scope["path"] in OPEN_PATHS or not self._settings.protected or self._has_cookie(request):
            return None
        return await self._stranger(request)

    async def _stranger(self, request: Request) -> Response | None:
        """What somebody without our cookie is told; nothing, if the token or the password is with the request."""
        if "authorization" in request.headers:
            if self._guesses.barred(address_of(request)):
                return PlainTextResponse(TOO_MANY, 429)
            if self._knows(request):
                return None
            await self._guesses.wrong(address_of(request), "password or token")
        if self._settings.token and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        headers = {"WWW-Authenticate": 'Basic realm="taskq", charset="UTF-8"'} if self._settings.basic_auth else {}
        return PlainTextResponse("Who are you? A token or a password is needed.\n", 401, headers)

    def _knows_host(self, request: Request) -> bool:
        if self._settings.protected:
            return True  # another name has no cookie and no password
        host = hosts.name_in(request.headers.get("host", "")) or ""
        return host in ("localhost", self._settings.host, *self._settings.allow_hosts) or hosts.is_address(host)

    def _has_cookie(self, request: Request) -> bool:
        """Whether it signed in; what the cookie holds is longer than can be guessed."""
        token = self._settings.token
        return bool(token) and same(request.cookies.get(COOKIE, ""), session(token))

    def _knows(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        settings = self._settings
        if settings.token and kind.lower() == "bearer" and same(given.strip(), settings.token):
            return True
        return bool(settings.basic_auth) and kind.lower() == "basic" and same(_decoded(given), settings.basic_auth)


async def sign_in(request: Request, settings: DashboardSettings, guesses: Guesses, form: str) -> Response:
    """Answer the form of the sign-in page: a cookie for the right token, the form again for a wrong one."""
    if guesses.barred(address_of(request)):
        return PlainTextResponse(TOO_MANY, 429)
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_FORM:
                    return PlainTextResponse("That is no token.\n", 413)
    except TimeoutError:
        return PlainTextResponse("That takes too long.\n", 408, {"Connection": "close"})
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    if not (settings.token and same(given.strip(), settings.token)):
        await guesses.wrong(address_of(request), "token")
        return Response(form.replace("hidden", "", 1), 403, media_type="text/html")
    answer = RedirectResponse("/", 303)
    # A proxy in front that gives TLS says so; who else does makes their own cookie safer.
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    secure = "https" in (request.scope["scheme"], forwarded)
    answer.set_cookie(COOKIE, session(settings.token), httponly=True, samesite="strict", secure=secure)
    return answer


def session(token: str) -> str:
    """What the cookie holds: it proves the token and does not tell it, and outlives a restart of the server."""
    return hmac.digest(token.encode(), b"taskq dashboard session", hashlib.sha256).hex()


def same(given: str, wanted: str) -> bool:
    """Compare in a time which says nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _from_here(request: Request) -> bool:
    """Whether our own page sent it. A program without a browser sends no Origin; it must say so by a header."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("x-requested-with") == "taskq"
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return netloc == request.headers.get("host", "").lower() != ""


def address_of(request: Request) -> str:
    """The other end's; a proxy's, if there is one."""
    return request.client.host if request.client else "?"


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except ValueError:  # no base64, or no text
        return ""
