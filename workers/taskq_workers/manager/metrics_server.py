"""``/metrics`` and ``/health`` by HTTP: a cotyledon service of its own beside those that work.

The manager can't serve them: it forks services, so it must have no threads that may hold a lock just then. A
service that works should not, either: its endpoint would be gone just when it dies.
"""

from __future__ import annotations

import logging
import multiprocessing
import socket
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import cotyledon
from prometheus_client.exposition import ThreadingWSGIServer
from redis.exceptions import RedisError
from setproctitle import setproctitle

from taskq.errors import ServerError
from taskq.redis.connection import connect
from taskq.views.metrics import CONTENT_TYPE, exposition
from taskq_workers import hosts, signals
from taskq_workers.manager import health
from taskq_workers.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT = 5.0  # seconds a reply of Redis may take; Prometheus itself waits for ten
_TEXT = "text/plain; charset=utf-8"
_SECONDS = 15.0  # which a request may take, from the connection to the end of the answer
_MOST = 16  # requests at a time
_PAUSE = 5.0  # seconds between two tries to get the port

Answer = tuple[str, str, bytes]  # status, content type, body


class MetricsServer(cotyledon.Service):  # type: ignore[misc,unused-ignore]
    """Serves until it is told to end; ``settings.metrics`` says where."""

    name = "metrics"

    def __init__(self, worker_id: int, settings: Settings) -> None:
        super().__init__(worker_id)  # type: ignore[arg-type,unused-ignore]
        signals.ignore_interrupts()
        self._settings = settings
        self._server: WSGIServer | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Serve until ``terminate``."""
        assert self._settings.metrics is not None
        host, port = self._settings.metrics
        multiprocessing.current_process().name = "metrics"
        threading.current_thread().name = "server"
        setproctitle(f"taskq: metrics [{host}:{port}]")
        connection = connect(self._settings.url, retries=1, timeout=_TIMEOUT)
        while not self._stopping.is_set():
            try:
                self._server = serve(host, port, partial(self._answer, connection))
            except OSError as error:  # a predecessor that has just died, or another program
                log.error("can't listen on %s:%d: %s; next try in %.0f s", host, port, error, _PAUSE,
                          extra={"action": "metrics_failed"})  # fmt: skip
                self._stopping.wait(_PAUSE)
            else:
                break
        if self._server is not None and not self._stopping.is_set():
            log.info("metrics at http://%s:%d/metrics", host, port, extra={"action": "metrics_ready"})
            self._server.serve_forever()

    def _answer(self, connection: Any, path: str, host: str) -> Answer:
        settings = self._settings
        return answer(connection, path, settings.services, host, settings.metrics_hosts)

    def terminate(self) -> None:
        """Stop serving: called by cotyledon on SIGTERM, and when the manager has died."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def check_port(host: str, port: int) -> None:
    """See, before anything is started, whether the address can be listened on.

    Raises:
        ServerError: If not.
    """
    try:
        serve(host, port, lambda _path, _host: ("", "", b"")).server_close()
    except OSError as error:
        raise ServerError(
            f"can't listen on {host}:{port} for metrics: {error}. Is another worker's there? Give each its own "
            "--metrics-port; one worker's endpoint shows the numbers of all."
        ) from error


def answer(connection: Any, path: str, services: int, host: str = "", allowed: Collection[str] = ()) -> Answer:
    """What a GET of this path is answered with.

    Args:
        connection: To Redis.
        path: ``/metrics`` or ``/health``; all else is not found.
        services: How many must be well on this host for ``/health`` to say 200.
        host: The request's ``Host``.
        allowed: Names by which it may be asked for, besides addresses and names without a dot.
    """
    if not is_known(host, allowed):
        text = f"This is not served as {host!r}: --metrics-allow-host allows a name.\n"
        return "421 Misdirected Request", _TEXT, text.encode()
    try:
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE, exposition(connection)
        if path == "/health":
            found = health.look(connection, services)
            return "200 OK" if found.healthy else "503 Service Unavailable", _TEXT, f"{found}\n".encode()
    except RedisError as error:
        return "503 Service Unavailable", _TEXT, f"Redis: {error}\n".encode()
    except Exception:
        log.exception("metrics can't be told", extra={"action": "metrics_failed"})
        return "500 Internal Server Error", _TEXT, b"see the log\n"
    return "404 Not Found", _TEXT, b"/metrics or /health\n"


def is_known(header: str, allowed: Collection[str]) -> bool:
    """Whether a request's ``Host`` is one of ours.

    A page of an attacker whose DNS name suddenly means this machine comes with its own name (DNS rebinding), which
    has a dot. Who scrapes comes for an address, or for a name of the own network.
    """
    name = hosts.name_in(header)
    return name is not None and (hosts.is_address(name) or "." not in name or name in allowed)


def serve(host: str, port: int, respond: Callable[[str, str], Answer]) -> WSGIServer:
    """A server that listens, and answers once its ``serve_forever`` is called: a thread for each request.

    Raises:
        OSError: If the address can't be had.
    """
    [found, *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)

    class Server(_Limited):
        address_family = found[0]

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, kind, body = respond(environ.get("PATH_INFO", ""), environ.get("HTTP_HOST", ""))
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return make_server(host, port, application, Server, _Silent)


class _Limited(ThreadingWSGIServer):
    """No more than ``_MOST`` requests at a time; what comes then is closed at once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._free = threading.BoundedSemaphore(_MOST)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        log.info("a request of %s broke off", client_address[0], extra={"action": "cut_off"})


class _Silent(WSGIRequestHandler):
    """Without a line on stderr for each request; one that takes too long is cut off."""

    def setup(self) -> None:
        super().setup()
        self._late = threading.Timer(_SECONDS, self._cut_off)
        self._late.daemon = True
        self._late.start()

    def finish(self) -> None:
        self._late.cancel()
        super().finish()

    def _cut_off(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_args: Any) -> None: ...
