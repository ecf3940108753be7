"""A server, a worker and a map of items of nothing, again for each line on stdin: for ``options.py``, by any code.

It uses what taskq has always had, and nothing of this folder. First it says where its taskq is.
"""

from __future__ import annotations

import subprocess
import sys
import time

import taskq
from taskq.redis.server import private_server


def main(count: int) -> None:
    print(taskq.__file__, flush=True)
    with private_server() as url:
        command = [
            sys.executable,
            "-m",
            "taskq",
            "worker",
            "--url",
            url,
            "--processes",
            "2",
            "--log-level",
            "error",
        ]
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            q = taskq.Queue(url=url)
            q.map(abs, range(count)).get()
            for _ in sys.stdin:
                began = time.perf_counter()
                job = q.map(abs, range(count))
                job.get()
                print(time.perf_counter() - began, flush=True)
                job.delete()
        finally:
            worker.terminate()
            worker.wait(60)


if __name__ == "__main__":
    main(int(sys.argv[1]))
