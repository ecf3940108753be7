"""The process that starts a system, and measures it on request: ``benchmarks.session SYSTEM URL KIND FD``.

A process of its own for each session, so that a system that hangs, or kills its caller, costs one measurement. KIND
is ``tiny`` or ``long``: what it is set up for. Requests and answers are pickled tuples on a socket; a request of
None ends it.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import measure
from benchmarks.peers import SYSTEMS, Session, commands


def serve(name: str, url: str, wire: Connection, *, tiny: bool) -> None:
    """Answer ("work", name of a work, scale) or ("growth", items) with ("value", v) or ("failed", why)."""
    os.environ[commands.URL] = url
    system = next(system for system in SYSTEMS if system.name == name)
    try:
        began = time.perf_counter()
        with system.session(url, tiny=tiny) as session:
            measure.warm_up(session)
            wire.send(("value", time.perf_counter() - began))
            while (request := wire.recv()) is not None:
                wire.send(_answer(session, *request))
    except EOFError:  # the harness is gone
        pass
    except Exception as error:  # noqa: BLE001 - whatever a system raises is what the table says of it
        traceback.print_exc()
        wire.send(("failed", _said(error)))


def _answer(session: Session, what: str, *request: Any) -> tuple[str, float | str]:
    try:
        if what == "growth":
            return "value", measure.growth(session, *request)
        work, scale = request
        return "value", measure.MEASURES[work](session, scale)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return "failed", _said(error)


def _said(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"not installed ({error})"
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], Connection(int(sys.argv[4])), tiny=sys.argv[3] == "tiny")
