"""How often the kernel has killed something of this container, or service unit, for want of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")


class OomKills:
    """Looks at the counter of the control group in which this process is.

    Args:
        own: The file that says which one that is.
        root: Where they are mounted.
    """

    def __init__(self, own: Path = _OURS, root: Path = _CGROUPS) -> None:
        self._files = list(_files(own, root))
        self._seen = self._count()

    def news(self) -> bool:
        """Whether there were any since it was asked last, or made."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

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
