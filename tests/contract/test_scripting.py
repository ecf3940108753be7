"""Scripts where SCRIPT is forbidden: EVAL makes them known."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from taskq import Queue
from taskq.redis import scripting
from taskq.redis.lua import Operation, source
from tests.contents import everything

NAMES = sorted(file.name.removesuffix(".lua") for file in resources.files("taskq.redis.lua").iterdir()
               if file.name.endswith(".lua"))  # fmt: skip


class Strict:
    """A connection whose server does not know SCRIPT, or does not let it be used."""

    def __init__(self, connection: Any, error: Exception) -> None:
        self._connection = connection
        self._error = error

    def script_load(self, *_: Any) -> str:
        raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


GONE = ResponseError("unknown command 'SCRIPT', with args beginning with: 'LOAD'")


@pytest.mark.parametrize("name", NAMES)
def test_a_script_without_keys_touches_nothing(any_queue: Queue, name: str) -> None:
    connection: Any = any_queue.connection
    connection.rpush("rq:queue:default", "a")
    before = everything(connection)
    scripting.load(Strict(connection, GONE), source(name))
    assert connection.script_exists(scripting.sha(source(name))) in ([True], [1])
    assert everything(connection) == before


def test_one_that_is_not_known_is_run_all_the_same(any_queue: Queue) -> None:
    strict = Strict(any_queue.connection, NoPermissionError("this user has no permissions to run 'script|load'"))
    connection: Any = any_queue.connection
    connection.zadd("taskq:leases", {"dead": 1.0})
    connection.script_flush()
    assert Operation(strict, "depose")(["taskq:leases"], ["dead"]) == 1
    assert connection.zscore("taskq:leases", "dead") == 0


def test_other_refusals_are_raised(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResponseError, match="BUSY"):
        scripting.load(Strict(any_queue.connection, ResponseError("BUSY")), source("busy"))
    strict = Strict(any_queue.connection, GONE)
    for refused in ("unknown command 'EVAL', with args", "OOM command not allowed", "READONLY You can't write"):
        monkeypatch.setattr(strict, "eval", Strict(None, ResponseError(refused)).script_load, raising=False)
        with pytest.raises(ResponseError, match=refused.split()[0]):
            scripting.load(strict, source("claim"))


def test_scripts_of_others_need_no_script_either(any_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ's own, which it registers."""
    made = scripting.Client.from_pool(any_queue.connection.connection_pool)
    monkeypatch.setattr(made, "script_load", Strict(made, GONE).script_load)
    script = made.register_script("return {KEYS[1], ARGV[1]}")
    assert script(keys=["a"], args=["b"]) == [b"a", b"b"]
    with made.pipeline() as pipe:
        script(keys=["a"], args=["c"], client=pipe)
        assert pipe.execute() == [[b"a", b"c"]]
