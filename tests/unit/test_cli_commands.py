"""The command's subcommands are imported when they are asked for."""

from __future__ import annotations

import subprocess
import sys

from taskq_workers.cli import cli

_STARTS = """
import sys
from taskq_workers.cli import cli
cli.commands["worker"]
import taskq_workers.manager.manager
print(*sorted({"rich", "croniter", "fastapi", "taskq_workers.cli.top"} & set(sys.modules)))
"""


def test_each_is_found_under_its_own_name() -> None:
    assert [command.name for command in cli.commands.values()] == [*cli.commands]
    assert cli.commands.get("none") is None


def test_a_worker_starts_without_what_others_need() -> None:
    found = subprocess.run([sys.executable, "-c", _STARTS], capture_output=True, text=True, check=True)
    assert not found.stdout.strip(), "a private server's worker is waited for at each start of a Pool"
