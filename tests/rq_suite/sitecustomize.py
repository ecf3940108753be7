"""Redirects connections to the default port, for RQ's tests know no other, to the server of ``make rq-suite``.

Python imports this at the start of each process of a run, as the run's PYTHONPATH begins with its folder.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFAULT_PORT = 6379
PORT = int(os.environ.get("RQ_SUITE_PORT", "0"))


class _Redirect(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads ``redis.connection`` as usual, and changes what it takes a port to mean."""

    def find_spec(self, name: str, path: Any, _target: Any = None) -> ModuleSpec | None:
        if name != "redis.connection":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None:
            self._loader: Any = spec.loader
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        original = module.Connection.__init__

        def init(self: Any, host: str = "localhost", port: int = DEFAULT_PORT, **options: Any) -> None:
            original(self, host=host, port=PORT if int(port) == DEFAULT_PORT else port, **options)

        module.Connection.__init__ = init


if PORT:
    sys.meta_path.insert(0, _Redirect())
