"""``taskq shell``."""

from __future__ import annotations

import code
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

import taskq
from taskq.redis.urls import hide_password
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached


@click.command()
@url_option
@click.option("--queue", "queue_name", default="default", show_default=True, help="The queue that q pushes to.")
def shell(url: str, queue_name: str) -> None:
    """Open a Python shell (IPython if it is installed) in which q is a queue.

    \b
    taskq shell                  # taskq shell < program.py  runs a program instead
    >>> job = q.map(lambda n: n * n, range(8))
    >>> job.get()
    [0, 1, 4, 9, 16, 25, 36, 49]
    """
    with reached(url):
        pass  # it is there
    queue = taskq.Queue(queue_name, url=url)
    # The shell's own namespace becomes __main__, as in any Python shell: what is defined there travels by value.
    main = types.ModuleType("__main__")
    vars(main).update(q=queue, Queue=taskq.Queue, MapJob=taskq.MapJob, taskq=taskq)
    sys.modules["__main__"] = main
    sys.path.insert(0, str(Path.cwd()))  # as in any Python shell; a worker that is started here looks there, too
    if not sys.stdin.isatty():  # a program from a file or a pipe: no prompts, and its errors are the exit code
        sys.path.insert(0, "")  # as Python itself does
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), vars(main))  # noqa: S102 - what a shell is for
        return
    banner = f"taskq {taskq.__version__}: q is {queue!r} on {hide_password(url)}; try q.map(fn, items)"
    if not _in_ipython(vars(main), banner):
        _in_python(vars(main), banner)


def _in_ipython(namespace: dict[str, Any], banner: str) -> bool:
    """Whether there is one."""
    try:
        from IPython import start_ipython
        from traitlets.config import Config
    except ImportError:
        return False
    # The working directory, too, is where IPython always has it: behind Python's own modules.
    config = Config()
    config.TerminalInteractiveShell.banner1 = banner + "\n"
    start_ipython(argv=[], user_ns=namespace, config=config)
    return True


def _in_python(namespace: dict[str, Any], banner: str) -> None:
    """Python's own, which completes names as ``python`` does, where it can."""
    sys.path.insert(0, "")
    with suppress(ImportError):
        import readline
        from rlcompleter import Completer

        readline.set_completer(Completer(namespace).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=banner, local=namespace, exitmsg="")
