"""Sets up the forkserver, which imports this module before it forks anything: pool processes begin as it is then.

The environment is all that reaches it there. If it has read another build than its service's, what it forks ends
before it runs, or reads, anything: the two might not understand each other.
"""

from __future__ import annotations

import os

from taskq.redis import lua
from taskq_workers import build, user_path
from taskq_workers.process import preload, streams

streams.set_up()
with user_path.in_front([folder for folder in os.environ.get(preload.PATH, "").split(os.pathsep) if folder]):
    preload.load(os.environ.get(preload.VARIABLE, "").split())
streams.flush()  # or each pool process would write it again
lua.read_all()
wanted = os.environ.pop(build.VARIABLE, "")
if wanted and wanted != build.installed():  # after all has been read
    os.register_at_fork(after_in_child=lambda: os._exit(build.OTHER))
