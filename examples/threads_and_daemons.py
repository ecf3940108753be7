"""Threads, daemon threads, and a job that outlives both.

``join()`` makes the program wait for its thread. A daemon thread doesn't hold it up, but it is cut off wherever
it stands when the program ends. A queued job does neither: the program may end at once, the call is in Redis,
and its result can be fetched later, by any program.

    python examples/threads_and_daemons.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from rq.suspension import resume, suspend

import taskq
from taskq.redis.urls import url_of


def print_something(something: str, seconds: float = 1) -> str:
    time.sleep(seconds)
    print(f"    {something!r}, says process {os.getpid()}", flush=True)
    return something


def with_join() -> None:
    t = threading.Thread(target=print_something, args=("hello from a thread",))
    t.start()
    print("    thread started", flush=True)
    t.join()


def with_daemon() -> None:
    t = threading.Thread(target=print_something, args=("hello from a daemon thread", 3600))
    t.daemon = True
    t.start()
    print("    daemon thread started", flush=True)


def with_queue() -> None:
    q = taskq.Queue()  # on the server that TASKQ_URL names
    q.enqueue(print_something, "hello from a job", job_id="greeting")
    print("    job enqueued", flush=True)


PROGRAMS = {"join": with_join, "daemon": with_daemon, "queue": with_queue}


def run_to_its_end(program: str, url: str = "") -> None:
    """Run one of the three as a program of its own, and wait until that has ended."""
    started = time.monotonic()
    environment = {**os.environ, "TASKQ_URL": url}
    with subprocess.Popen([sys.executable, __file__, program], env=environment) as process:
        if process.wait():
            sys.exit(f"the program {program!r} failed")
        print(f"    program {process.pid} has ended after {time.monotonic() - started:.1f} s", flush=True)


def main() -> None:
    print("1. thread + join: the program waits for its thread", flush=True)
    run_to_its_end("join")

    print("2. daemon thread: the program does not wait, so its thread never gets to speak", flush=True)
    run_to_its_end("daemon")

    print("3. queue: the program does not wait, and its job runs all the same", flush=True)
    with taskq.local() as q:
        suspend(q.connection)  # no worker begins anything until the program has ended
        run_to_its_end("queue", url_of(q.connection))
        resume(q.connection)
        job = q.fetch_job("greeting")
        result = job.latest_result(timeout=300)
        print(f"    fetched by another program, {os.getpid()}: {result.return_value!r} ({job.get_status().value})")


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]() if sys.argv[1:] else main()
