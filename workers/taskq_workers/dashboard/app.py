"""The application: which address shows what."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import taskq
from taskq.errors import TaskqError, UsageError
from taskq.maps.store import MapStore
from taskq.redis import checked
from taskq.redis.connection import connect
from taskq.redis.urls import hide_password
from taskq.views import short_ids
from taskq.views.metrics import CONTENT_TYPE, exposition
from taskq_workers import report
from taskq_workers.dashboard import maps, queues, results
from taskq_workers.dashboard.actions import ACTIONS, ActionError
from taskq_workers.dashboard.errors import groups_of
from taskq_workers.dashboard.feed import Feed
from taskq_workers.dashboard.guard import Guard, sign_in
from taskq_workers.dashboard.guesses import Guesses
from taskq_workers.dashboard.settings import DashboardSettings
from taskq_workers.dashboard.snapshot import Reader

STATIC = Path(str(files(__package__) / "static"))
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TIMEOUT = 10.0  # seconds Redis may take for an answer


class Dashboard:
    """The page's parts, put together; ``app`` is what an ASGI server runs."""

    def __init__(self, settings: DashboardSettings, connection: Any = None) -> None:
        self._settings = settings
        self._guesses = Guesses()
        self._connection = connection if connection is not None else connect(settings.url, timeout=TIMEOUT)
        about = {
            "redis": hide_password(settings.url), "version": taskq.__version__, "actions": settings.allow_actions
        }  # fmt: skip
        self.feed = Feed(Reader(self._connection), about)
        self.app = Starlette(
            routes=[
                Route("/", self._file("page.html")),
                Mount("/static", StaticFiles(directory=STATIC)),
                Route("/events", self._events),
                Route("/jobs", self._jobs),
                Route("/jobs/{job_id}/{action}", self._act, methods=["POST"]),
                Route("/maps/{map_id}", self._map),
                Route("/maps/{map_id}/errors", self._errors),
                Route("/maps/{map_id}/report", self._report),
                Route("/maps/{map_id}/results.jsonl", self._results),
                Route("/metrics", self._metrics),
                Route("/login", self._file("login.html")),
                Route("/login", self._sign_in, methods=["POST"]),
                Route("/health", lambda _request: PlainTextResponse("ok\n")),
            ],
            middleware=[Middleware(Guard, settings=settings, guesses=self._guesses)],
            exception_handlers={ActionError: _refused(409), UsageError: _refused(403), TaskqError: _refused(404),
                                RedisError: _refused(503)},
        )  # fmt: skip

    def _file(self, name: str) -> Any:
        async def show(_request: Request) -> Response:
            return FileResponse(STATIC / name, media_type="text/html")

        return show

    async def _sign_in(self, request: Request) -> Response:
        return await sign_in(
            request, self._settings, self._guesses, (STATIC / "login.html").read_text(encoding="utf-8")
        )

    async def _events(self, _request: Request) -> Response:
        headers = {"X-Accel-Buffering": "no"}  # a proxy must pass each event on at once
        return StreamingResponse(self.feed.follow(), media_type="text/event-stream", headers=headers)

    # Plain functions run in threads: redis-py blocks.

    def _jobs(self, request: Request) -> Response:
        asked = request.query_params
        place = asked.get("place", "queued")
        if place not in queues.PLACES:
            return PlainTextResponse(f"no such registry; there are: {', '.join(queues.PLACES)}\n", 404)
        number = asked.get("page", "0")
        page = int(number) if number.isdecimal() and len(number) < 9 else 0  # noqa: PLR2004 - more have no place in Redis
        return JSONResponse(queues.page(self._connection, asked.get("queue", "default"), place, page))

    def _act(self, request: Request) -> Response:
        if not self._settings.allow_actions:
            return PlainTextResponse("this page is read-only: start it with --allow-actions\n", 403)
        action = ACTIONS.get(request.path_params["action"])
        if action is None:
            return PlainTextResponse(f"no such action; there are: {', '.join(ACTIONS)}\n", 404)
        return JSONResponse({"done": action(self._connection, request.path_params["job_id"])})

    def _map(self, request: Request) -> Response:
        found = maps.find(self._connection, short_ids.whole(self._connection, request.path_params["map_id"]))
        if found is None:
            return PlainTextResponse(f"there is no map {request.path_params['map_id']}\n", 404)
        return JSONResponse(found)

    def _errors(self, request: Request) -> Response:
        return JSONResponse(groups_of(self._connection, request.path_params["map_id"]))

    def _report(self, request: Request) -> Response:
        text = report.render(self._connection, request.path_params["map_id"])
        return HTMLResponse(text, headers={"Content-Security-Policy": REPORT_POLICY})

    def _metrics(self, _request: Request) -> Response:
        return Response(exposition(self._connection), headers={"Content-Type": CONTENT_TYPE})

    def _results(self, request: Request) -> Response:
        map_id = request.path_params["map_id"]
        store = MapStore(map_id, self._connection)
        results.check(self._connection, map_id)
        store.info()
        return StreamingResponse(
            results.lines(store),
            media_type="application/jsonl",
            headers={"Content-Disposition": f"attachment; filename={checked.dumps(map_id[:8] + '.jsonl')}"},
        )


def _refused(code: int) -> Any:
    def answer(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", code)

    return answer
