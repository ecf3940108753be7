"""The process that starts a system, and measures it on request: ``benchmarks.session START URL FD``.

A process of its own for each session, so that a system that hangs, or kills its caller, costs one measurement.
START is the field of ``System``. Requests and answers are pickled tuples on a socket; a request of None ends it.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import measure, peers
from benchmarks.peers import Session, commands


def serve(start: str, url: str, wire: Connection) -> None:
    """Answer ("work", name of a work, scale) or ("growth", items) with ("value", v) or ("failed", why)."""
    os.environ[commands.URL] = url
    try:
        began = time.perf_counter()
        with peers.session(start, url) as session:
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
    serve(sys.argv[1], sys.argv[2], Connection(int(sys.argv[3])))
