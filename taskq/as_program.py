"""``python -m taskq`` in a project that has a ``queue.py``: Python's own is meant, whenever we import one.

So for ``python -m taskq_workers``, the same command.

``python -m`` puts the working directory in front of ``sys.path``, and imports all of the package before
``__main__.py`` has its turn. So the package imports this module first, which takes that folder off. Workers,
shells and commands that load results put it in front again, for the user's own modules.
"""

import os
import sys


def _is_ours(word: str) -> bool:
    name = word.rpartition("m")[2] if word.startswith("-") else word  # -m taskq, -mtaskq, -umtaskq
    return name in ("taskq", "taskq_workers")


# While it looks for what -m names, Python calls the program just "-m"; and what it names may be another package,
# which imports us.
if sys.argv[:1] == ["-m"] and _is_ours(sys.orig_argv[-len(sys.argv)]) and not sys.flags.safe_path:
    folder = sys.path.pop(0)
    if folder == os.path.dirname(os.path.dirname(__file__)):  # noqa: PTH120 - pathlib may be the project's
        sys.path.append(folder)  # installed just there (pip install --target): the last place to look
