"""Whether the kernel has just killed something of this container, or service unit, for want of memory.

It counts them, and says neither whom nor when. So the counter is looked at about once a second, and again when
something has died: only what was killed a moment ago may be the cause of that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LATELY = 2.0
"""Seconds: what was seen to be killed in these may be what has died now."""

_CGROUPS = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")


class OomKills:
    """Looks at the counter of the control group in which this process is.

    Args:
        own: The file that says which one that is.
        root: Where they are mounted.
        clock: Seconds, which only go on.
    """

    def __init__(
        self, own: Path = _OURS, root: Path = _CGROUPS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = list(_files(own, root))
        self._clock = clock
        self._seen = self._count()
        self._rose = -math.inf

    def look(self) -> None:
        """Note whether there were any; to be called about once a second, so that it is known when they were."""
        before, self._seen = self._seen, self._count()
        if self._seen > before:
            self._rose = self._clock()

    def lately(self, within: float = LATELY) -> bool:
        """Whether there was one in the last seconds, ``within`` so many; whoever asks, and how often."""
        self.look()
        return self._clock() - self._rose <= within

    def _count(self) -> int:
        for file in self._files:
            try:
                words = file.read_text("ascii").split()
            except (OSError, ValueError):
                continue
            if "oom_kill" in words[:-1]:
                return int(words[words.index("oom_kill") + 1])
        return 0  # not told here


def _files(own: Path, root: Path) -> Iterator[Path]:
    """Where the counter may stand, of both versions of control groups."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            yield root / path.strip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield root / "memory" / path.strip("/") / "memory.oom_control"
    yield root / "memory.events"  # in a container this is its own
    yield root / "memory" / "memory.oom_control"
