"""What is the server's fault, and what is damage."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, OutOfMemoryError, ReadOnlyError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskq import Queue
from taskq.errors import DamagedError, OptionError
from taskq.redis.patience import clear_errors
from taskq_workers.service.core.damage import is_damage
from tests import jobs


@pytest.mark.parametrize(
    "error",
    [
        DataError("Invalid input of type: 'list'"), ResponseError("WRONGTYPE Operation against a key"),
        ResponseError("increment or decrement would overflow"), ValueError("Job ID"),
        ResponseError("increment would produce NaN or Infinity"), RecursionError(),
        ResponseError("what no one has seen"), ResponseError("Protocol error: invalid bulk length"),
        ResponseError("The stream has exhausted the last possible ID, unable to add more items"),
    ],
)  # fmt: skip
def test_damage(error: Exception) -> None:
    assert is_damage(error)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError(), RedisTimeoutError(), WatchError(), OutOfMemoryError(), ReadOnlyError(),
        ResponseError("OOM command not allowed script: on @user_script:3."),
        ResponseError("NOPERM no permissions"),
    ],
)  # fmt: skip
def test_the_server(error: Exception) -> None:
    assert not is_damage(error)


def test_a_producer_is_told() -> None:
    class Reads:
        connection = None

        @clear_errors
        def read(self) -> None:
            raise DataError("Invalid input of type: 'list'")

    with pytest.raises(DamagedError, match="not what taskq wrote"):
        Reads().read()


def test_what_can_not_be_sent_is_not_pushed(fake_queue: Queue) -> None:
    with pytest.raises(OptionError, match="a map's description can't be"):
        fake_queue.map(jobs.square, [1], description=[1])
    assert not fake_queue.connection.keys("*")
