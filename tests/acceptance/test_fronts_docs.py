"""What docs/from_multiprocessing.md prints is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/from_multiprocessing.md").read_text(encoding="utf-8")
SAYS = {
    "executor": "[2, 4, 6]\n[4, 5]\n",
    "pool": "[0, 1, 4, 9, 16]\n49\n328350\n",
    "nightly": "[0, 1, 4, 9, 16]\n",
    "large": "50000.0\n",
    "manager": "8\n",
    "shared": "10 45\n",
}


@pytest.mark.parametrize("name", SAYS)
def test_each_program(name: str, tmp_path: Path) -> None:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"no block {name} in docs/from_multiprocessing.md"
    program = tmp_path / "program.py"
    program.write_text(found[1])
    environment = {name: value for name, value in os.environ.items() if name != "TASKQ_URL"}
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=HANGS, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, SAYS[name], "")


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", PAGE)) == set(SAYS)
