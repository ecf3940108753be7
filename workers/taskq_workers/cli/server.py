"""``taskq server``, and the server of ``taskq worker --embedded``: one for this machine, to begin with."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from taskq.errors import OptionError, ServerError
from taskq.redis.server import find_program, kept_server
from taskq.redis.urls import hide_password
from taskq_workers.cli.said import say

PORT = 6379
_HOSTS = ("localhost", "127.0.0.1")
_ADDRESS = _HOSTS[1]


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where it listens.")
@click.option("--dir", "folder", type=click.Path(file_okay=False, path_type=Path),
              help="Keep jobs and results in this folder, which is made. [default: in memory only]")  # fmt: skip
def server(port: int, folder: Path | None) -> None:
    """Run a Redis server for this machine alone, until Ctrl-C: to begin with, where there is none.

    It is redis-server or valkey-server, if one is installed, else that of the extra "embedded". It listens on
    127.0.0.1, without a password, and forgets all when it ends, unless --dir is given.

    \b
    Examples:
      taskq server                              # in one terminal
      taskq worker                              # in another
      taskq shell                               # in a third
      taskq server --port 7000 --dir ~/jobs     # then: taskq worker --url redis://localhost:7000/0
    """
    program = find_program()
    check_free(port)
    kept = ["--save", ""]
    if folder is not None:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        kept += ["--dir", str(folder), "--appendonly", "yes"]
    where = "in memory only" if folder is None else f"kept in {folder}"
    say(f"taskq: a Redis server at redis://localhost:{port}/0, {where}; Ctrl-C ends it")
    quiet = ["--loglevel", "warning", "--always-show-logo", "no"]
    os.execv(program, [program, "--bind", _ADDRESS, "--port", str(port), *kept, *quiet])  # noqa: S606 - no shell


@contextmanager
def embedded(url: str) -> Iterator[None]:
    """Such a server, in memory only, for the length of the block; it ends with this program, however that ends.

    Args:
        url: Where it is to listen.

    Raises:
        OptionError: If that is not on this machine, or has a password.
        ServerError: If something listens there, or there is no server program.
    """
    port = _port_of(url)
    check_free(port)
    with kept_server("--bind", _ADDRESS, "--port", str(port)):
        say(f"taskq: a Redis server at {url}, in memory only, as long as this worker runs")
        yield


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    if parts.scheme != "redis" or parts.hostname not in _HOSTS or "@" in parts.netloc or parts.query:
        raise OptionError(
            "--embedded starts a server on this machine, without a password: for "
            f"redis://localhost:{PORT}/0 or the like, and not for {hide_password(url)}"
        )
    return parts.port or PORT


def check_free(port: int) -> None:
    """See that nothing listens there.

    Raises:
        ServerError: If something does.
    """
    try:
        socket.create_connection((_ADDRESS, port), timeout=5.0).close()
    except OSError:
        return
    raise ServerError(
        f"something listens on port {port} of this machine already: if that is a Redis server, use it; else take "
        f"another port"
    )
