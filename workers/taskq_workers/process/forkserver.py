"""Sets up the forkserver, which imports this module before it forks anything: pool processes begin as it is then.

The environment is all that reaches it there.
"""

from __future__ import annotations

import os

from taskq_workers import user_path
from taskq_workers.process import preload, streams

streams.set_up()
with user_path.in_front([folder for folder in os.environ.get(preload.PATH, "").split(os.pathsep) if folder]):
    preload.load(os.environ.get(preload.VARIABLE, "").split())
streams.flush()  # or each pool process would write it again
