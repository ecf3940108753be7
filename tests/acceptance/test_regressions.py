"""What went wrong once with the real command: replies of the server that are lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from taskq import Queue
from taskq.redis import services
from taskq.redis.lua import Scripts
from tests import jobs
from tests.acceptance.worker import Workers
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


class Proxy:
    """Stands before a server, and breaks the connection instead of passing a chosen request's reply on."""

    def __init__(self, server: str, path: Path) -> None:
        self.url = f"unix://{path}"
        self.lost = 0
        self.lose: Callable[[bytes], bool] = lambda _request: False
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._server)
            back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
            back.start()
            while request := client.recv(1 << 20):
                if self.lose(request):
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(request)
                    break
                server.sendall(request)
            server.shutdown(socket.SHUT_WR)
            back.join()

    @staticmethod
    def _pass_back(server: socket.socket, client: socket.socket) -> None:
        while reply := server.recv(1 << 16):
            with suppress(OSError):
                client.sendall(reply)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy(server_url: str, folder: Path) -> Iterator[Proxy]:
    proxy = Proxy(server_url.removeprefix("unix://"), folder / "proxy.sock")
    yield proxy
    proxy.close()


def test_a_lost_reply_to_a_claim(workers: Workers, proxy: Proxy, real_queue: Queue) -> None:
    claim = Scripts(real_queue.connection).claim._sha.encode()
    requests: list[bytes] = []

    def lose(request: bytes) -> bool:
        if claim in request and b"EVALSHA" in request:
            requests.append(request)
            return len(requests) == 2
        return False

    workers.start("--processes", "1", "--grace", "5", url=proxy.url)
    wait_until(lambda: services.live(real_queue.connection), "the service is registered")
    proxy.lose = lose
    job = real_queue.map(jobs.nap, [0.1] * 5, chunksize=1)
    wait_until(lambda: proxy.lost, "a reply was lost")
    assert job.get(timeout=HANGS) == [0.1] * 5
    assert len(job.result_list) == 5
    assert real_queue.connection.hlen(job.store.keys.claims) == 0
