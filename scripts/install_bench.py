"""Install the extra ``bench`` into the Python that runs this; what can't be installed here is left out, and said.

The benchmarks report such a system as not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def installed(*what: str) -> bool:
    return subprocess.run([*PIP, *what], cwd=ROOT, check=False).returncode == 0


def main() -> None:
    if installed("--editable", ".[bench]"):
        return
    print("Not all of it can be installed together; now one by one.", file=sys.stderr)
    if not installed("--editable", ".[embedded]"):
        sys.exit("taskq itself can't be installed; see above")
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["bench"]
    left_out = [name for name in extra if not name.startswith("taskq-pool[") and not installed(name)]
    print("Left out: " + (", ".join(left_out) or "nothing"), file=sys.stderr)


if __name__ == "__main__":
    main()
