"""The forkserver of a service: what it says when its service is killed."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import HANGS

ASKED_BY_NOBODY = """
import os, socket
from multiprocessing import forkserver
from taskq_workers.lanes import guard
from taskq_workers.lanes.lone_pool import context

context()
guard.ensure_forkserver()
server = forkserver._forkserver
with socket.socket(socket.AF_UNIX) as asking:  # a service that is killed before it has said what it wants
    asking.connect(server._forkserver_address)
os.waitpid(server._forkserver_pid, 0)
server._forkserver_pid = None
"""


def test_a_service_killed_while_it_asks_for_a_process_leaves_no_traceback() -> None:
    program = [sys.executable, "-c", ASKED_BY_NOBODY]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=HANGS, check=True)
    assert ended.stderr == ""
