"""Tells whether the user's classes and handlers can be loaded, without loading them in a process of ours.

So a typing error is heard of at the start of ``taskq worker``, and not in each job.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence

from taskq.errors import OptionError
from taskq.payload import imports
from taskq_workers import user_path
from taskq_workers.process import preload
from taskq_workers.user_code import UserCode

_CHECK = 60.0  # seconds which the user's imports may take


def check(
    user: UserCode, path: Sequence[str] = (), modules: Sequence[str] = (), allowed: Sequence[str] = ()
) -> None:
    """Have another process load all of it, looking for modules in ``path`` first.

    Args:
        user: What is to be loaded.
        path: Folders.
        modules: Those of ``--preload``, which are imported before.
        allowed: Patterns of what the worker may call by name; none: anything.

    Raises:
        OptionError: If something can't be loaded, or is not what it should be; says what.
    """
    if user == UserCode():
        return
    command, told = [sys.executable, "-m", __name__], pickle.dumps((path, list(modules), [*allowed], user))
    with user_path.safe():
        result = subprocess.run(command, input=told, capture_output=True, timeout=_CHECK, check=False)
    if result.returncode:
        raise OptionError(result.stderr.decode(errors="replace").strip().rpartition("\n")[2])


def main() -> int:
    """The process that ``check`` starts; what is wrong is the last line of its stderr."""
    user_path.forget_safe()
    path, modules, allowed, user = pickle.loads(sys.stdin.buffer.read())
    sys.path[:] = user_path.all_for_user(path)
    preload.load(modules)
    imports.allow(allowed)
    try:
        user.load_all()
    except OptionError as error:
        sys.stderr.write(f"\n{str(error).replace(chr(10), ' ')}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
