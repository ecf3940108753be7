"""Runs the application on uvicorn, until it is stopped."""

from __future__ import annotations

import socket

import uvicorn

from taskq_workers.dashboard.app import Dashboard
from taskq_workers.dashboard.connections import HEAD_SIZE, LimitedConnection
from taskq_workers.dashboard.settings import DashboardSettings

_GRACE = 2  # seconds which requests get at the end


class Server(uvicorn.Server):
    """uvicorn's, which ends open pages' streams when it is told to end: it would wait for them."""

    def __init__(self, settings: DashboardSettings, dashboard: Dashboard) -> None:
        self._feed = dashboard.feed
        super().__init__(
            uvicorn.Config(
                dashboard.app, settings.host, settings.port, log_config=None, access_log=False,
                server_header=False, proxy_headers=False, lifespan="off", ws="none", http=LimitedConnection,
                timeout_graceful_shutdown=_GRACE, h11_max_incomplete_event_size=HEAD_SIZE,
            )
        )  # fmt: skip

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._feed.close()
        await super().shutdown(sockets)
