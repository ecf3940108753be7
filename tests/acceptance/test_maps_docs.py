"""What docs/maps.md, docs/memo.md, docs/shared.md, docs/chains.md and docs/long.md print is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("maps.md", "memo.md", "shared.md", "chains.md", "long.md")
MAPS = "".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
SAYS = {
    "open": f"{sum(n * n for n in range(5000))}\n",
    "imap": "1024\n",
    "each": f"[0, 1, 4] {sum(n * n for n in range(3, 1000))} 1000\n400 100\n",
    "discard": "1000\n",
    "first": "3\n",
    "enough": "3\n",
    "once": "[0, 9, 18, 27, 36]\n",
    "memo": "60 100\n",
    "attach": f"{sum(n * n for n in range(1000))}\n" * 2,
    "shared": "1000000.0\n" * 3,
    "chain": "4950\n",
    "long": "(401,)\n(1000, 332833500)\n",
    "reduce": f"{sum(n % 7 for n in range(1000))}\n",
    "item_retry": "[0, 1, 2, 3, 4, 5]\n",
    "caps": "[0, 2, 4, 6, 8, 10, 12, 14]\n",
    "last": "[0, 1, 2, 3, 4, 5, 6, 7]\n",
}


@pytest.mark.parametrize("name", SAYS)
def test_each_program(name: str) -> None:
    found = re.search(rf"<!-- {name}:.*?-->\n```python\n(.*?)```", MAPS, re.DOTALL)
    assert found, f"no block {name} in the docs of maps"
    done = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, SAYS[name], "")


def test_each_is_run() -> None:
    assert set(re.findall(r"<!-- (\w+):", MAPS)) == set(SAYS)
