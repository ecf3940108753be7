"""Web applications that tests serve and ask."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.waiting import HANGS, wait_until


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The application at a URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(HANGS)


def ask(url: str, data: bytes | None = None) -> tuple[int, Any]:
    """The status and the JSON of a reply; of several lines a list."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=HANGS) as reply:  # noqa: S310
            lines = reply.read().splitlines()
            return reply.status, json.loads(lines[0]) if len(lines) == 1 else [json.loads(line) for line in lines]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
