"""What is said of a server's settings, and of one that is open to others."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from taskq import Queue
from taskq.payload import signing
from taskq.redis import exposure
from taskq.redis.connection import connect
from taskq_workers.service import server_check

SAFE = {"maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize(
    ("info", "snapshots", "said"),
    [
        (SAFE, False, []),
        ({**SAFE, "maxmemory_policy": "allkeys-lru"}, False, ["evict"]),
        ({**SAFE, "maxmemory_policy": "volatile-ttl"}, True, ["evict"]),
        ({**SAFE, "aof_enabled": 0}, True, []),
        ({**SAFE, "aof_enabled": 0}, False, ["forgets"]),
        ({**SAFE, "aof_enabled": 0}, None, ["forgets"]),
        ({**SAFE, "aof_enabled": 0, "rdb_saves": 3}, None, []),
        ({"maxmemory_policy": "allkeys-lru"}, False, ["evict", "forgets"]),
        ({}, True, []),
    ],
)
def test_findings(info: dict[str, Any], snapshots: bool | None, said: list[str]) -> None:
    found = list(server_check.findings(info, snapshots))
    assert len(found) == len(said)
    assert all(word in text and "Remedy: CONFIG SET" in text for word, text in zip(said, found, strict=True))


class Server:
    """Answers what it is told to."""

    def __init__(self, info: Any, save: Any) -> None:
        self._info, self._save = info, save

    @staticmethod
    def _say(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def info(self, _section: str = "") -> Any:
        return self._say(self._info)

    def script_load(self, _text: str) -> Any:
        return self._say(self._save)

    client_setname = script_load

    def config_get(self, _name: str) -> Any:
        return self._say(self._save)


REFUSED = NoPermissionError("NOPERM")


def test_a_user_without_config_or_info(caplog: pytest.LogCaptureFixture) -> None:
    assert server_check.check(Server(SAFE, REFUSED)) == []
    assert len(server_check.check(Server({"aof_enabled": 0}, REFUSED))) == 1
    assert server_check.check(Server({"aof_enabled": 0}, {"save": "60 1"})) == []
    caplog.clear()
    caplog.set_level(logging.INFO)
    assert server_check.check(Server(REFUSED, REFUSED)) == []
    assert [record.args[0] for record in caplog.records if record.args] == ["INFO", "CONFIG", "SCRIPT", "CLIENT"]  # type: ignore[index]
    assert all("does not let us use" in record.message for record in caplog.records)
    gone = ResponseError("unknown command 'CONFIG', with args beginning with: 'GET'")
    assert server_check.check(Server({"aof_enabled": 1}, gone)) == []
    with pytest.raises(ResponseError, match="LOADING"):
        server_check.check(Server(ResponseError("LOADING"), gone))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("redis://localhost", True),
        ("redis://127.0.0.1:7/0", True),
        ("redis://127.8.8.8", True),
        ("redis://[::1]:6379", True),
        ("unix:///tmp/redis.sock", True),
        ("redis://", True),
        ("redis://redis.example", False),
        ("rediss://10.0.0.1", False),
        ("redis://0.0.0.0", False),
        ("redis://localhost.example", False),
        ("redis+sentinel://localhost,127.0.0.2:7/main", True),
        ("redis+sentinel://localhost,sentinel.example/main", False),
    ],
)
def test_what_is_private(url: str, local: bool) -> None:
    assert exposure.is_private(connect(url)) is local


def test_one_loud_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv(signing.VARIABLE, raising=False)
    monkeypatch.setattr(exposure, "_warned", set())
    for _ in range(3):
        Queue(url="redis://me:hunter2@redis.example/0")
        Queue(url="unix:///tmp/redis.sock")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "NOT SIGNED" in record.message
    assert "TASKQ_SECRET_KEY is not set. Set it" in record.message
    assert "hunter2" not in record.message


@pytest.mark.parametrize(("said", "warnings"), [("1", 0), ("0", 1), ("", 1)])
def test_somebody_vouches_for_all_who_reach_it(
    said: str, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(signing.VARIABLE, raising=False)
    monkeypatch.setenv(exposure.PRIVATE, said)
    monkeypatch.setattr(exposure, "_warned", set())
    Queue(url="redis://redis.example/0")
    assert len(caplog.records) == warnings


def test_no_warning_with_a_key(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(signing.VARIABLE, "k" * signing.LEAST)
    monkeypatch.setattr(exposure, "_warned", set())
    Queue(url="redis://redis.example/0")
    assert not caplog.records
