"""``taskq.local()``: a private server and real workers for the length of a ``with`` block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from taskq.errors import ServerError
from taskq.payload import proxies, signing
from taskq.queue import Queue
from taskq.redis import services
from taskq.redis.server import KeptServer, kept_server

_START = 120.0  # seconds after which workers that are not ready will never be, on the busiest machine
_GRACE = 2.0  # seconds which running items get at the end
_OVERHEAD = 20.0  # seconds after that in which the workers must have ended; a second Ctrl-C ends them at once

_PROGRAM = """
import gc, os, runpy, sys
gc.disable()  # until the worker has read its code: of that nothing is garbage, and to look at it takes a while
from importlib.util import find_spec
ours, path = sys.argv.pop(1), sys.argv.pop(1)
found = find_spec("taskq")
if found is None or found.origin != ours:
    sys.path[:] = path.split(os.pathsep)
runpy.run_module("taskq", run_name="__main__")
"""
"""The command ``taskq``, of the same installation as this module.

It looks for modules where this program does only if it would not find itself otherwise: the program's folder may
have a ``queue.py``.
"""


@contextmanager
def local(
    processes: int | None = None, services: int = 1, *, queue: str = "default", log_level: str = "warning",
    worker_options: Sequence[str] = (), environment: Mapping[str, str] | None = None, **queue_options: Any,
) -> Iterator[Queue]:  # fmt: skip
    """A queue on a private server, with real workers and a scheduler; all of it is gone at the end of the block.

        with taskq.local() as q:
            print(q.map(compute, range(8)).get())

    Args:
        processes: Pool processes of each service; default: the cores, shared by the services.
        services: Service processes.
        queue: The queue's name.
        log_level: Of the workers, which log to stderr.
        worker_options: More of the options of ``taskq worker``, such as ``("--max-tasks-per-child", "10")``.
        environment: Variables that the workers get beside this program's, such as ``{"OMP_NUM_THREADS": "1"}``.
        queue_options: For ``Queue``.

    Yields:
        The queue, once all workers are ready. They find modules where this program finds them.

    Raises:
        ServerError: If there is no server program, or the workers do not start.

    At the end, also after an exception or Ctrl-C, running items get 2 seconds, and results are gone with the
    server: fetch them before. If this program is killed, alone or with any of the others, the rest ends by itself
    within seconds, what jobs have started too (see ``taskq/redis/keeper.py``).
    """
    more = [*worker_options, *(() if processes is None else ("--processes", str(processes)))]
    with kept_server() as server, _workers(server, queue, services, log_level, more, environment):
        q = Queue(queue, url=server.url, **queue_options)
        q.own_workers = True
        try:
            yield q
        finally:
            q.connection.close()


@contextmanager
def _workers(
    server: KeptServer,
    queue: str,
    count: int,
    log_level: str,
    more: Sequence[str],
    added: Mapping[str, str] | None,
) -> Iterator[subprocess.Popen[bytes]]:
    path = [folder or str(Path.cwd()) for folder in sys.path]
    ours = find_spec("taskq")
    command = [sys.executable, "-P", "-c", _PROGRAM, str(ours and ours.origin), os.pathsep.join(path),
               "worker", queue, "--url", server.url, "--services", str(count),
               "--grace", str(_GRACE), "--log-level", log_level, "--until-eof", "--with-scheduler"]  # fmt: skip
    command += [part for folder in path for part in ("--path", folder)] + [*more]
    kept = (signing.VARIABLE, signing.FILE)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TASKQ_") or k in kept}
    environment |= added or {}
    environment[proxies.VARIABLE] = str(_authkey_file(server.folder))
    process, own = server.start_workers(command, environment, stdin=subprocess.PIPE), os.getpid()
    try:
        _wait_until_ready(process, server.url, count)
        yield process
    finally:
        if os.getpid() == own:  # it is not a fork that leaves the block
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE + _OVERHEAD)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _authkey_file(folder: Path) -> Path:
    """Write this program's key for managers of multiprocessing where its workers find it, and nobody else."""
    from multiprocessing import process  # taskq itself has no need of it before

    path = folder / "authkey"
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(file, process.current_process().authkey)
    finally:
        os.close(file)
    return path


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, count: int) -> None:
    from taskq.redis.connection import connect

    deadline = time.monotonic() + _START
    with connect(url) as connection:
        while len(services.live(connection)) < count:
            if process.poll() is not None:
                raise ServerError(
                    f"the workers ended at their start with exit code {process.returncode}; see above"
                )
            if time.monotonic() > deadline:
                raise ServerError(f"the workers were not ready after {_START:.0f} s")
            time.sleep(0.01)
