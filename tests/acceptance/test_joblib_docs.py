"""What docs/from_joblib.md prints is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/from_joblib.md").read_text(encoding="utf-8")
SAYS = {
    "parallel": ["[0, 1, 8, 27, 64]", "328350"],
    "resume": [
        "[0, 4950]", "[0, 4950, 9900, 14850]", "2 calls of the second one were run",
        *(f"fits {depth}" for depth in range(4)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SAYS)
def test_each_program(name: str, tmp_path: Path) -> None:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"no block {name} in docs/from_joblib.md"
    program = tmp_path / "program.py"
    program.write_text(found[1])
    environment = {name: value for name, value in os.environ.items() if name != "TASKQ_URL"}
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=HANGS, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(SAYS[name])  # workers print when they print


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGE)) == set(SAYS)
