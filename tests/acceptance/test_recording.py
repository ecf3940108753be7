"""The session that docs/start.md shows goes so when it is recorded again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import recording

pytestmark = pytest.mark.acceptance


def told(text: str) -> list[str]:
    """What is the same each time: what is typed, what Python answers, and that the map goes on."""
    same = re.findall(r"^(?:[$>.]{1,3} .*|\(.*|.* items done, .*)$", text, re.MULTILINE)
    assert "service0diedbySIGKILL" in "".join(text.split()), "a line may go on in the next one"
    return [re.sub(r"(?<=kill -9 )\d+|(?<=show )\w+", "...", line) for line in same]


def test_it_goes_so_again(tmp_path: Path) -> None:
    shown = recording.BLOCK.search(recording.PAGE.read_text(encoding="utf-8"))
    assert shown
    assert told(recording.record(tmp_path)) == told(shown[0])
    assert len(told(shown[0])) > 12
