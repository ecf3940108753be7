"""What docs/from_dask.md says is the same prints the same, on Dask and on taskq."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.acceptance.worker import environment
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs/from_dask.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["before", "after"])
def test_each_program(name: str, tmp_path: Path) -> None:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", PAGE, re.DOTALL)
    shown = re.search(r"```\n\n((?:    [^\n]+\n)+)", PAGE)
    assert found
    assert shown
    program = tmp_path / "program.py"
    program.write_text(found[1])
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=HANGS, check=False,
        env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, textwrap.dedent(shown[1])), done.stderr


def test_each_is_run() -> None:
    assert re.findall(r"<!-- (\w+):", PAGE) == ["before", "after"]
