"""Systems that misbehave, for the benchmarks' harness."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager

from benchmarks import works


class Harmless:
    """Does nothing, at once."""

    def one(self):
        pass

    def jobs(self, count):
        pass

    def map(self, _function, items, **_how):
        return [(0, 1)] * len(items)


class Hangs(Harmless):
    def jobs(self, count):
        if count > 2:
            threading.Event().wait()


class Dies(Harmless):
    def map(self, function, items, **_how):
        if function is works.compute:
            os._exit(3)
        return [(0, 1)] * len(items)


class Loses(Harmless):
    def map(self, _function, items, **_how):
        return [(0, 1)] * (len(items) - 1)


@contextmanager
def hangs(_url):
    # A grandchild whose parent is gone: it must not outlive the session either.
    subprocess.run(["/bin/sh", "-c", "sleep 600 &"], check=True)
    yield Hangs()


@contextmanager
def dies(_url):
    yield Dies()


@contextmanager
def loses(_url):
    yield Loses()
