"""rediss://: workers, producers and what user code opens, by TLS, with the certificate checked.

The server's end of it is a proxy in this process, so that any server will do: not every one is built with TLS.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import Queue
from taskq.redis.connection import connect
from taskq.redis.urls import url_of, whole_url_of
from tests import jobs
from tests.acceptance.worker import Server, Workers, run
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PASSWORD = "hunter2"  # noqa: S105 - the test's own


class Proxy:
    """Takes TLS connections on the loopback interface and passes what they say on to a server's socket."""

    def __init__(self, context: ssl.SSLContext, socket: Path) -> None:
        self._context = context
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_unix_connection(self._socket)
        await asyncio.gather(self._copy(reader, inner[1]), self._copy(inner[0], writer))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (OSError, ssl.SSLError):  # one end is gone, and so is the other in a moment
            pass
        finally:
            writer.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANGS)
        self._loop.close()


@pytest.fixture
def authority(folder: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return ca


@pytest.fixture
def tls(folder: Path, authority: trustme.CA) -> Iterator[str]:
    """A URL for which only the authority's certificate is missing."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = Server(folder, "--requirepass", PASSWORD)
    server.start()
    proxy = Proxy(context, server.path)
    yield f"rediss://default:{PASSWORD}@localhost:{proxy.port}/0"
    proxy.close()
    server.kill()


def test_everything_by_tls(tls: str, folder: Path, workers: Workers) -> None:
    url = f"{tls}?ssl_ca_certs={folder}/ca.pem"
    worker = workers.ready(2, url=url)
    queue = Queue(url=url)
    assert queue.map(jobs.square, range(100)).get(timeout=HANGS) == [n * n for n in range(100)]
    results = queue.result_list("results")
    assert queue.enqueue(jobs.append_to, results, 1).latest_result(timeout=HANGS)  # by the pool process itself
    assert list(results) == [1]
    status = run("status", TASKQ_URL=url)
    assert "Services" in status.stdout
    assert url_of(queue.connection).startswith("rediss://localhost:")
    assert worker.stop() == 0
    for shown in (worker.output, status.stdout + status.stderr, repr(queue), repr(queue.connection)):
        assert PASSWORD not in shown
    queue.connection.close()


def test_a_server_that_wants_to_see_a_certificate(folder: Path, authority: trustme.CA) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    ours = authority.issue_cert("client")
    ours.private_key_pem.write_to_path(folder / "client.key")
    ours.cert_chain_pems[0].write_to_path(folder / "client.pem")
    server = Server(folder)
    server.start()
    proxy = Proxy(context, server.path)
    url = f"rediss://localhost:{proxy.port}/0?ssl_ca_certs={folder}/ca.pem"
    with connect(url, retries=0) as connection, pytest.raises(RedisConnectionError):
        connection.ping()
    url += f"&ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key"
    with connect(url, retries=0) as connection:
        assert connection.ping()
        assert whole_url_of(connection).count("client.") == 2, "who is told of it can connect, too"
    proxy.close()
    server.kill()


def test_an_unknown_certificate_is_refused(tls: str, workers: Workers) -> None:
    worker = workers.start("--processes", "1", url=tls)
    worker.wait_until_output("CERTIFICATE_VERIFY_FAILED")
    assert PASSWORD not in worker.output
    status = run("status", TASKQ_URL=tls)
    assert "CERTIFICATE_VERIFY_FAILED" in status.stderr
    assert PASSWORD not in status.stderr
    with connect(tls, retries=0) as connection, pytest.raises(RedisConnectionError, match="CERTIFICATE"):
        connection.ping()
