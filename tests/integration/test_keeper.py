"""The keeper of a private server, where the kernel does not help, and nobody is left to clean up (macOS)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from taskq.errors import ServerError
from taskq.redis import keeper
from taskq.redis.connection import connect
from taskq.redis.server import find_program, private_server, sweep
from tests.waiting import HANGS, LONG, wait_until

SLEEP = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep({LONG})'])"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.mark.parametrize("proc", [Path("/proc"), Path("/nowhere")])
def test_carriers_are_killed(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_PROC", proc)
    value = os.urandom(8).hex()
    variables = {**os.environ, "TEST_MARK": value}
    killed = subprocess.Popen([sys.executable, "-c", SLEEP], env=variables, start_new_session=True)
    spared = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        keeper.kill_carriers("TEST_MARK", value.__eq__)
        assert killed.wait(HANGS) == -signal.SIGKILL
        assert spared.poll() is None
    finally:
        keeper.kill_group(spared.pid)
        spared.wait()


def answers(url: str) -> bool:
    try:
        with connect(url, retries=0) as connection:
            return bool(connection.ping())
    except RedisError:
        return False


def test_an_orphaned_server_too_busy_to_hear_is_found_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq.redis.server._SHUTDOWN", 0.1)
    orphan = folder / "taskq-orphan"
    orphan.mkdir()
    (orphan / "lock").touch()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(orphan / "redis.sock"))
        deaf.listen()
        sweep()
        assert orphan.exists()
    sweep()
    assert not orphan.exists()


def test_an_orphaned_server_is_ended_and_its_folder_removed(folder: Path) -> None:
    orphan = folder / "taskq-orphan"
    orphan.mkdir()
    (orphan / "lock").touch()
    path = orphan / "redis.sock"
    command = [find_program(), "--port", "0", "--unixsocket", str(path), "--dir", str(orphan)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"unix://{path}"), "the server answers")
        with private_server() as url:  # it looks for what others have left behind
            server.wait(HANGS)
            sweep()  # and leaves alone what somebody looks after
            assert connect(url).ping()
            assert [path.name for path in folder.iterdir()] == [Path(url.removeprefix("unix://")).parent.name]
    finally:
        server.kill()
        server.wait()
    assert list(folder.iterdir()) == []


def test_a_server_that_does_not_start_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskq.redis.server._START", 3600.0)  # that it has ended is seen at once
    with pytest.raises(ServerError, match="did not start"), private_server("--bad-option", "1"):
        pass
    assert list(folder.iterdir()) == []


WITH_A_CHILD = """
import os, signal
from taskq.redis.server import kept_server
with kept_server():
    if (child := os.fork()) == 0:
        signal.pause()
    os.write(1, str(child).encode())
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_whose_child_holds_its_end_of_the_pipe_is_missed(folder: Path) -> None:
    """``multiprocessing`` forks, and its children have all that the program has open."""
    command = [sys.executable, "-c", WITH_A_CHILD]
    program = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE)
    assert program.stdout is not None
    child = int(os.read(program.stdout.fileno(), 32))
    program.stdout.close()
    assert program.wait(HANGS) == -signal.SIGKILL
    try:
        wait_until(lambda: not list(folder.iterdir()), "the server and its folder are gone")
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_fork_that_leaves_the_block_is_not_its_end() -> None:
    own = os.getpid()
    try:
        with private_server() as url:
            if child := os.fork():
                assert os.waitpid(child, 0)[1] == 0
                with connect(url) as connection:
                    assert connection.ping()
    finally:
        if os.getpid() != own:
            os._exit(0)
