"""Helpers of the unit tests: functions as a shell would define them, and the project's own source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def in_main(code: str, name: str) -> Any:
    """What ``name`` is after a shell ran ``code``."""
    scope: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(code, scope)  # noqa: S102 - that is what a shell does
    return scope[name]


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    """The source files of these folders of the project."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob(f"*{suffix}"))]
    assert found
    return found
