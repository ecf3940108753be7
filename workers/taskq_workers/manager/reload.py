"""``--reload``: when a module changes, the services start afresh, as after SIGHUP."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_SHOWN = 3  # names of changed files in a message


class Reload:
    """Hangs up on this process, the manager, whenever a Python file in one of the folders has changed.

    ``watchfiles`` waits 0.05 s for more of the same change, 1.6 s at most, and leaves out what no program is
    (``.git``, ``__pycache__``, ``node_modules`` and the like). Where the kernel does not tell of changes (some
    mounts of Docker Desktop), ``WATCHFILES_FORCE_POLLING=1`` makes it look.

    Args:
        folders: Where pool processes look for modules; with all below. What is missing is not watched.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [folder for folder in folders if Path(folder).is_dir()]

    def start(self) -> None:
        """Watch in a thread of its own, until this process ends."""
        log.info("watches %s for changes of modules", ", ".join(self._folders), extra={"action": "reload_watches"})
        threading.Thread(target=self._watch, name="reload", daemon=True).start()

    def _watch(self) -> None:
        try:
            self._hang_up_on_changes()
        except (OSError, RuntimeError) as error:  # the kernel watches so many folders and no more
            log.error("can't watch %s any more: %s; after a change, send SIGHUP to %d", ", ".join(self._folders),
                      error, os.getpid(), extra={"action": "reload_failed"})  # fmt: skip

    def _hang_up_on_changes(self) -> None:
        from watchfiles import PythonFilter, watch  # an extra, of which the command has made sure

        changed = watch(
            *self._folders, watch_filter=PythonFilter(), raise_interrupt=False, ignore_permission_denied=True
        )
        for changes in changed:
            names = sorted({Path(path).name for _, path in changes})
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            log.info("%s%s changed: the services start afresh, one after the other", ", ".join(names[:_SHOWN]),
                     more, extra={"action": "reload"})  # fmt: skip
            os.kill(os.getpid(), signal.SIGHUP)
