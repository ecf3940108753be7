"""What docs/scaling.md prints is what happens."""

from __future__ import annotations

import re
from typing import Any

from tests.unit import source

SCALING = (source.ROOT / "docs/scaling.md").read_text(encoding="utf-8")


def test_queues_are_spread_over_servers_by_their_names() -> None:
    found = re.search(r"<!-- by_name:.*?-->\n```python\n(.*?)```", SCALING, re.DOTALL)
    assert found
    told: dict[str, Any] = {}
    exec(found[1], told)  # noqa: S102 - our own page
    hosts = {
        name: told["queue_of"](name).connection.connection_pool.connection_kwargs["host"]
        for name in [f"queue-{number}" for number in range(30)]
    }
    assert set(hosts.values()) == {"redis-0", "redis-1", "redis-2"}
    assert told["queue_of"]("queue-7").connection.connection_pool.connection_kwargs["host"] == hosts["queue-7"]


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", SCALING)) == {"by_name"}
