"""Which code of taskq this is, to the letter: so that an upgrade of the installation under a running worker is noticed.

The manager has read all of its code, and the scripts, when it starts its first service, and services are forked from
it. But a forkserver is a new program, which reads what is installed by then. So it looks, once it has read everything,
which build that is, and a pool process of another build than its service ends before it runs anything.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import taskq
import taskq_workers

OTHER = 89
"""Exit code of a pool process that is of another build than its service."""

_KINDS = ("*.py", "*.lua")


@cache
def installed() -> str:
    """Version and digest of what is installed, as it was when this process, or the one that it was forked from, asked.

    Reads some 250 files, in 10 ms.
    """
    digest = hashlib.sha256()
    for package in (taskq, taskq_workers):
        folder = Path(package.__path__[0])
        for path in sorted(path for kind in _KINDS for path in folder.rglob(kind)):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return f"{taskq.__version__}-{digest.hexdigest()[:12]}"
