"""A primary, its replicas and their sentinels, for real: any of them may be killed, frozen, or cut off."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from taskq.redis.server import find_program
from tests.waiting import HANGS, wait_until

NAME = "main"  # by which sentinels know the primary
DOWN_AFTER = 1.0  # seconds of silence after which sentinels take a server for down


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Node:
    """One server, or one sentinel, on a port of its own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.port = free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir()
        self._command = [*command, "--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None
        self.asked = redis.Redis(port=self.port, socket_timeout=2, protocol=2)

    def start(self, *options: str) -> None:
        command = [*self._command, *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, cwd=self.folder)
        wait_until(self.answers, f"the server at port {self.port} answers")

    def answers(self) -> bool:
        try:
            return bool(self.asked.ping())
        except redis.RedisError:
            return False

    @property
    def is_primary(self) -> bool:
        try:
            return bool(self.asked.role()[0] in (b"master", "master"))
        except redis.RedisError:
            return False

    def signal(self, signum: int) -> None:
        assert self._process is not None
        self._process.send_signal(signum)

    def kill(self) -> None:
        """SIGKILL; also of one that is frozen."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(HANGS)
            self._process = None

    @property
    def runs(self) -> bool:
        return self._process is not None


class Site:
    """Servers, the first of which is the primary to begin with, and sentinels that watch them.

    Args:
        folder: For their files.
        servers: How many.
        sentinels: How many; more than half must agree.
        program: Of the server; a sentinel is the same program.
        options: Of the servers.
    """

    def __init__(
        self, folder: Path, servers: int = 3, sentinels: int = 3, program: str | None = None, *options: str
    ) -> None:
        program = program or find_program()
        plain = [program, "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0", *options]
        self.servers = [Node(folder, plain) for _ in range(servers)]
        self.sentinels = [Node(folder, [program, "sentinel.conf", "--sentinel"]) for _ in range(sentinels)]
        for node in self.sentinels:
            (node.folder / "sentinel.conf").write_text(
                "bind 127.0.0.1\n"
                f"sentinel monitor {NAME} 127.0.0.1 {self.servers[0].port} {sentinels // 2 + 1}\n"
                f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER * 1000:.0f}\n"
                f"sentinel failover-timeout {NAME} 3000\n"
            )

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/{NAME}/0"

    @property
    def primary(self) -> Node:
        """The one of which the sentinels tell, when it says so, too, and all others follow it."""
        found: list[Node] = []

        def settled() -> bool:
            told = {one.asked.sentinel_masters()[NAME]["port"] for one in self.sentinels if one.runs}
            found[:] = [one for one in self.servers if one.is_primary]
            return [one.port for one in found] == list(told) and self._follow(found[0])

        wait_until(settled, "all agree on a primary")
        return found[0]

    def _follow(self, primary: Node) -> bool:
        online = sum(one["state"] == "online" for name, one in primary.asked.info("replication").items()
                     if name.startswith("slave") and isinstance(one, dict))  # fmt: skip
        return online == sum(one.runs for one in self.servers) - 1

    def start(self) -> None:
        first, *others = self.servers
        first.start()
        for node in others:
            node.start("--replicaof", "127.0.0.1", str(first.port))
        for node in self.sentinels:
            node.start()
        wait_until(self._known, "the sentinels know each other, and all replicas")

    def _known(self) -> bool:
        told: list[dict[str, Any]] = [one.asked.sentinel_masters()[NAME] for one in self.sentinels]
        return all(
            (one["num-other-sentinels"], one["num-slaves"]) == (len(self.sentinels) - 1, len(self.servers) - 1)
            for one in told
        )

    def join(self, node: Node) -> None:
        """Start a server that was killed, as a replica."""
        node.start("--replicaof", "127.0.0.1", str(next(one.port for one in self.servers if one.is_primary)))

    def cut(self, primary: Node) -> None:
        """Let no replica hear of what the primary is told from now on."""
        for node in self.servers:
            if node is not primary:
                node.asked.config_set("masteruser", "nobody")
                node.asked.config_set("masterauth", "wrong")
                with suppress(redis.ResponseError):
                    node.asked.client_kill_filter(_type="master")

        def deaf() -> bool:
            told = primary.asked.info("replication")
            return not any(name.startswith("slave") for name, one in told.items() if isinstance(one, dict))

        wait_until(deaf, "no replica hears the primary")

    def mend(self) -> None:
        """Let them hear again."""
        for node in self.servers:
            if node.runs:
                node.asked.config_set("masterauth", "")
                node.asked.config_set("masteruser", "")

    def stop(self) -> None:
        for node in (*self.sentinels, *self.servers):
            node.kill()
            node.asked.close()


@contextmanager
def site(servers: int = 3, sentinels: int = 3, program: str | None = None) -> Iterator[Site]:
    """A site that runs; nothing of it is left after the block."""
    folder = Path(tempfile.mkdtemp(prefix="taskq-site-"))
    made = Site(folder, servers, sentinels, program)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
