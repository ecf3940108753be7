"""How long one connection to the page may take, and how many there may be: uvicorn limits neither.

A request's line and headers must be there ``HEADERS`` seconds after its first byte, or after the connection was
made; whoever reads nothing of an answer for ``READS`` seconds is cut off. Beside ``MOST`` connections the next
one is closed at once. Against many machines at the same time no limit here helps: that is for a proxy
(docs/dashboard.md).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HEADERS = 10.0  # seconds
READS = 120.0  # seconds
MOST = 256  # connections
HEAD_SIZE = 16 << 10  # bytes of a request's line and headers


class LimitedConnection(H11Protocol):
    """uvicorn's, with these limits."""

    _late: asyncio.TimerHandle | None = None  # while a request is on its way
    _stuck: asyncio.TimerHandle | None = None  # while nobody reads

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST:
            log.warning("there are %d connections to the page; more are closed", MOST,
                        extra={"action": "too_many"})  # fmt: skip
            transport.abort()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._expect()
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(READS, self._cut_off, "reads nothing")

    def resume_writing(self) -> None:
        self._read()
        super().resume_writing()

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEADERS, self._cut_off, "sends no request")

    def _look(self) -> None:
        """Stop the clock, if a whole request has come, or nothing of the next one has."""
        if self.conn.their_state is not h11.IDLE or not self.conn.trailing_data[0]:
            self._stop()

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _read(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _cut_off(self, why: str) -> None:
        client: Any = self.client or ("?",)
        log.info("the connection of %s is closed: it %s", client[0], why, extra={"action": "cut_off"})
        self.transport.abort()
