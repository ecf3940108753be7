"""The keeper of a private server, where the kernel does not help, and nobody is left to clean up (macOS)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from taskq.errors import ServerError
from taskq.fronts.pool import Pool
from taskq.redis import keeper
from taskq.redis.connection import connect
from taskq.redis.server import KeptServer, find_program, kept_server, private_server, sweep
from tests import jobs
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


@pytest.fixture
def patient_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The keeper waits for ever for who has not left; returns who was killed for it."""
    killed: list[int] = []
    source = Path(keeper.__file__).read_text()
    assert "_LEAVE = 8.0" in source
    path = tmp_path / "keeper.py"
    path.write_text(source.replace("_LEAVE = 8.0", f"_LEAVE = {LONG}"))
    monkeypatch.setattr(keeper, "__file__", str(path))
    kill = subprocess.Popen.kill

    def noted(process: subprocess.Popen[bytes]) -> None:
        killed.append(process.pid)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", noted)
    return killed


@pytest.fixture
def fork() -> Iterator[Callable[[], int]]:
    """Forks a child that has all that this program has open, and outlives what the test does."""
    children: list[int] = []

    def fork() -> int:
        if (child := os.fork()) == 0:
            signal.pause()
            os._exit(0)
        children.append(child)
        return child

    yield fork
    for child in children:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it lives still"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("make", [kept_server, private_server])
def test_a_fork_that_lives_on_does_not_keep_the_server(
    make: Callable[[], AbstractContextManager[object]], fork: Callable[[], int], patient_keeper: list[int],
    folder: Path,
) -> None:  # fmt: skip
    with make() as server:
        if isinstance(server, KeptServer):  # as where workers are started
            server.hang_up()
        fork()
    assert not patient_keeper
    assert list(folder.iterdir()) == []


def test_a_fork_that_lives_on_does_not_keep_a_pool(fork: Callable[[], int], patient_keeper: list[int]) -> None:
    with Pool(1) as pool:
        assert pool.map(jobs.square, [3]) == [9]
        fork()
    pool.join()
    assert not patient_keeper
