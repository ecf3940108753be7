"""What docs/tutorial.ipynb shows comes out of its cells when it is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.worker import ROOT, environment
from tests.waiting import LONG

pytestmark = pytest.mark.acceptance

NOTEBOOK = ROOT / "docs/tutorial.ipynb"
DIFFERS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|[\d.]+ items/s[^<]*"  # ids, and times
    r"|(?<=exit code 1 on )[\w.-]+|[\w.-]+(?=</td></tr></tbody>)"  # this host's name
)


def cells(notebook: Path) -> list[Any]:
    """Its cells; of what came out what is the same each time."""
    told: list[Any] = json.loads(DIFFERS.sub("...", notebook.read_text(encoding="utf-8")))["cells"]
    return told


def test_it_is_what_comes_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/tutorial.py", "--to", str(tmp_path / "told.ipynb")],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LONG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = cells(NOTEBOOK)
    assert cells(tmp_path / "told.ipynb") == shown
    assert sum(bool(cell.get("outputs")) for cell in shown) > 8
