"""URLs, and what is shown of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from redis.connection import HiredisRespSerializer

from taskq import OptionError, Queue
from taskq.redis import connection, urls


@pytest.fixture(autouse=True)
def _not_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_in_worker", {})
    monkeypatch.delenv("TASKQ_URL", raising=False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@host:1/2", "redis://:***@host:1/2"),
        ("rediss://me:secret@host/2?ssl_cert_reqs=none", "rediss://me:***@host/2?ssl_cert_reqs=none"),
        ("redis://me@host", "redis://me@host"),
        ("redis://me:p@ss@host", "redis://me:***@host"),
        ("unix://me:secret@/run/redis.sock?db=1", "unix://me:***@/run/redis.sock?db=1"),
    ],
)
def test_hide_password(url: str, shown: str) -> None:
    assert urls.hide_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@host", "redis://me:se/secret@host:1/0", "redis://me:#secret@host", "redis://me:?secret@host",
        "redis://host:1/0?password=secret", "redis://host:1/0?db=1&password=secret", "http://me:secret@host",
        "redis://me:secret@host:port", "redis://me:secret@[::1",
    ],
)  # fmt: skip
def test_no_password_is_ever_shown(url: str) -> None:
    assert "secret" not in urls.hide_password(url)
    try:
        connection.connect(url)
    except OptionError as error:
        assert "secret" not in str(error)  # noqa: PT017 - some of these are good URLs to redis-py


@pytest.mark.parametrize(
    "url",
    ["localhost", "http://localhost", "redis://host:port/0", "host:6379", "redis://[::1", "redis://host:99999"],
)
def test_a_bad_url(url: str) -> None:
    with pytest.raises(OptionError, match="is not a URL such as") as caught:
        connection.connect(url)
    assert caught.value.__cause__ is None, "redis-py may quote a part of the password"


def test_a_queue_with_a_bad_url() -> None:
    with pytest.raises(OptionError):
        Queue(url="localhost:6379")


def test_a_queue_with_url_and_connection() -> None:
    with pytest.raises(OptionError, match="not both"):
        Queue(url="redis://localhost", connection=connection.connect())


def test_the_server_is_not_contacted() -> None:
    queue = Queue(url="redis://192.0.2.1:1/3")
    assert queue.connection.connection_pool.connection_kwargs["db"] == 3


def test_the_default() -> None:
    assert connection.default_url() == "redis://localhost:6379/0"


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_URL", "redis://there:1/2")
    assert connection.default_url() == "redis://there:1/2"
    assert urls.url_of(Queue().connection) == "redis://there:1/2"


def test_a_workers_own_url_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_URL", "redis://there:1/2")
    connection.use_in_worker("redis://worker:1/2")
    assert urls.url_of(connection.shared()) == "redis://worker:1/2"


def test_one_connection_for_all() -> None:
    assert connection.shared() is connection.shared()


def test_another_worker_another_connection() -> None:
    first = connection.shared()
    connection.use_in_worker("redis://worker:1/2")
    assert connection.shared() is not first


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("redis://me:secret@host:1/2", "redis://host:1/2"), ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://host", "redis://host:6379/0"), ("unix:///s?db=0", "unix:///s"), ("unix:///s?db=2", "unix:///s?db=2"),
    ],
)  # fmt: skip
def test_what_to_call_a_connection(url: str, called: str) -> None:
    assert urls.url_of(connection.connect(url)) == called


INTERRUPTED = """
import signal, sys
from taskq.redis.connection import connect

def interrupt(*_):
    global armed
    armed = False  # what runs may swallow the exception
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
pack = connect("redis://nowhere").connection_pool.make_connection().pack_command
for number in range(200):
    armed = True
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003 + number * 1e-5)
        while armed:
            pack("HMGET", "key", *range(10_000), 0.5)
    except KeyboardInterrupt:
        pass
print("alive")
"""


def test_an_interrupt_while_numbers_are_sent_does_not_crash_the_interpreter() -> None:
    told = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "alive\n"), told.stderr


def test_numbers_are_sent_as_redis_py_sends_them() -> None:
    [packed] = (
        connection.connect("redis://nowhere").connection_pool.make_connection().pack_command("SET", "key", 7, 0.5)
    )
    assert packed == b"*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\n7\r\n$3\r\n0.5\r\n"


@pytest.mark.parametrize(
    "command",
    [
        (b"GET", "key"), ("CONFIG GET", "x"), (b"CONFIG GET", "x"), ("SET", b"key", bytearray(b"value"), "PX", 7),
        ("SET", "key", memoryview(b"value")), ("EVALSHA", "sha", 0, memoryview(b"one"), memoryview(b""), 5, "x"),
    ],
)  # fmt: skip
def test_every_command_is_packed_as_by_redis_py(command: tuple[object, ...]) -> None:
    made = connection.connect("redis://nowhere").connection_pool.make_connection()
    assert b"".join(made.pack_command(*command)) == b"".join(HiredisRespSerializer().pack(*command))
    assert b"".join(made.pack_commands([command])) == b"".join(HiredisRespSerializer().pack(*command))
