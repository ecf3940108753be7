"""One subscription for all: its connection, which two tasks use."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from taskq.aio.hub import _connected_once


class Connection:
    is_connected = True
    made = 0

    async def connect_check_health(self, **_options: object) -> None:
        self.made += 1


def test_a_connection_that_was_cut_is_not_made_again_by_either_of_two_tasks() -> None:
    async def program() -> None:
        connection = Connection()
        with _connected_once(connection):
            await connection.connect_check_health(check_health=False)
            connection.is_connected = False
            with pytest.raises(LostConnectionError, match="cut"):
                await connection.connect_check_health()
        assert not connection.made
        await connection.connect_check_health()
        assert connection.made == 1, "whom the pool gives it to connects"

    asyncio.run(program())
