"""Runs of a user's script, and a worker between them: processes of their own, with nothing but pickles between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.source import ROOT
from tests.waiting import HANGS

_WORK = """
import sys
from taskq.payload import codec
function = codec.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(codec.dumps(function()))
"""


def run(program: Path | str, *arguments: str, stdin: bytes = b"") -> bytes:
    """What a script, or some code, writes to stdout; fails if it fails."""
    what = ["-c", program] if isinstance(program, str) else [str(program)]
    done = subprocess.run(
        [sys.executable, *what, *arguments], input=stdin, capture_output=True, check=False, timeout=HANGS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def work(function: bytes) -> bytes:
    """What a worker makes of a function that a script has pickled: the pickled result of calling it."""
    return run(_WORK, stdin=function)
