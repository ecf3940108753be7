"""Which code of taskq this is, to the letter: an upgrade of the installation under a running worker is noticed.

The manager has read all of its code, and the scripts, when it starts its first service, and services are forked
from it. But a forkserver is a new program, which reads what is installed by then. So it looks, once it has read
everything, which build that is, and a pool process of another build than its service ends before it runs anything.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import taskq
import taskq_workers

OTHER = 89
"""Exit code of a pool process that is of another build than its service."""

VARIABLE = "TASKQ_BUILD"
"""Of the forkserver's environment: its service's build. All builds must call it so, or they could not tell."""

_KINDS = ("*.py", "*.lua")


@cache
def installed() -> str:
    """Version and digest of what is installed; it reads some 200 files, in 10 ms.

    It stays what it was when this process first asked, or the one from which it was forked.
    """
    digest = hashlib.sha256()
    for package in (taskq, taskq_workers):
        folder = Path(package.__path__[0])
        for path in sorted(path for kind in _KINDS for path in folder.rglob(kind)):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return f"{taskq.__version__}-{digest.hexdigest()[:12]}"
