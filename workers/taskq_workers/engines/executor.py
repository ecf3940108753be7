"""An engine over any ``concurrent.futures.Executor``: Parsl's, executorlib's, submitit's, a Dask client's ...

An executor runs a function somewhere, and that is all: nobody can be told there to stop, so what is not wanted
any more runs to its end, and its outcome is dropped. Which processes there are is its own affair; each of their
threads that gets a task holds a node with one lane.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial

from taskq_workers.engines import here
from taskq_workers.engines.engine import Answer, Parcel, Slot, Told, Word
from taskq_workers.engines.spec import Spec
from taskq_workers.settings import HOST

_PAUSES = (1.0, 60.0)  # seconds for which nothing is given to an executor that has failed: at first, and at most


class ExecutorEngine:
    """See above.

    Args:
        make: Makes the executor; called again when that has broken.
        spec: For the nodes.
        slots: Tasks that the executor runs at a time.
    """

    stretch = 5.0
    distance = 5.0  # what waits can't be asked back

    def __init__(self, make: Callable[[], Executor], spec: Spec, slots: int) -> None:
        self._make, self._spec = make, spec
        self._all = tuple(Slot(spec.name, number, HOST) for number in range(slots))
        self._executor: Executor | None = None
        self._failures = 0  # in a row
        self._closed = False
        self.trouble = ""

    def open(self, told: Told) -> None:
        self._told = told

    @property
    def slots(self) -> Sequence[Slot]:
        return () if self.trouble else self._all

    def submit(self, slot: Slot, parcel: Parcel) -> None:
        try:
            self._executor = self._executor or self._make()
            future = self._executor.submit(run, self._spec, here.pack(parcel, introduced=False))
        except Exception as error:  # noqa: BLE001 - it may be anybody's executor
            self._failed(slot, parcel.number, error)
        else:
            future.add_done_callback(partial(self._ended, slot, parcel.number))

    def _ended(self, slot: Slot, number: int, future: Future[bytes]) -> None:
        error = RuntimeError("it was cancelled") if future.cancelled() else future.exception()
        told, what = (here.GONE, None) if error else here.unpack(future.result())
        if isinstance(what, Answer):
            self._failures = 0
            self._told.answered(slot, number, what)
        else:
            self._failed(slot, number, error or RuntimeError(what or told))

    def _failed(self, slot: Slot, number: int, error: BaseException) -> None:
        """Take no more for a while, and then ask for a new executor: this one may be broken for good."""
        if not (self._closed or self.trouble):
            pause = min(_PAUSES[0] * 2.0**self._failures, _PAUSES[1])
            self._failures += 1
            self._executor, self.trouble = None, f"the executor failed: {type(error).__name__}: {error}"
            again = threading.Timer(pause, self._again)
            again.daemon = True
            again.start()
        self._told.lost(slot, [number], f"the executor failed: {type(error).__name__}")

    def _again(self) -> None:
        self.trouble = ""
        self._told.changed()

    def tell(self, slot: Slot, word: Word) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        self._closed = True
        for key in here.names():
            if key.startswith(self._spec.name):  # those of threads of this process
                here.end(key)
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def run(spec: Spec, parcel: bytes) -> bytes:
    """What the executor runs: a task, in the node of this thread."""
    return here.bring(here.start(f"{spec.name}/{threading.get_ident()}", spec, 1), parcel)
