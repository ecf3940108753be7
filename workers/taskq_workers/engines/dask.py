"""An engine over a Dask cluster: each thread of each of its workers is a slot.

    a thread of the service's ──submit, tell──> one event loop, in a thread of its own
        ├─ watch    once a second, and when a worker comes or goes: which workers there are
        ├─ enlist   a new worker: is it of our kind? then it gets seats
        ├─ await    of each task: what came of it
        └─ words    stop, recall and kill, by ``Client.run``, on the worker's own loop

No task is left to Dask: each is bound to its worker, never retried, and dropped when its worker is gone. What to
do then is the service's to say, which holds the claims.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future

from taskq.payload.signing import Keyring
from taskq_workers.engines import dask_node, here, spec
from taskq_workers.engines.engine import Answer, Parcel, Recall, Slot, Told, Word
from taskq_workers.engines.spec import Spec
from taskq_workers.link.known import Known
from taskq_workers.link.tasks import ChunkTask

log = logging.getLogger(__name__)

_RUNNING = "running"  # as Dask calls a worker, and a client, that is well
_LOOK = 1.0  # seconds between looks at the cluster, if nothing has told of a change
_ANSWERS = 5.0  # seconds that a worker has for a beat; then it is asked again
_STARTS = 60.0  # seconds that a worker has for what it imports at first
_CONNECTS = 5.0  # seconds that a scheduler has
_PAUSES = (0.5, 10.0)  # seconds between two tries to reach one: at first, and at most
_LEAVES = 10.0  # seconds that all of that may take at the end; the seats end by themselves then, after a lease
_BEATS = 4  # within a lease, after which the seats end without one
_AGAIN = 30.0  # seconds after which a worker that was refused, or has failed, is asked again
AWAY = 10.0
"""Seconds for which claims are kept while the scheduler is away; then they are others'."""
EMPTY = 3.0
"""Seconds for which they are kept while there is no worker: one that was killed is started again sooner."""


@dataclass(eq=False)
class _Worker:
    """One that has seats."""

    address: str
    key: str  # of this life of it
    slots: tuple[Slot, ...]
    seen: float = 0.0  # when the scheduler has heard of it last, by its clock
    changed: float = field(default_factory=time.monotonic)  # when that has changed
    known: Known = field(default_factory=Known)  # maps that it was introduced to
    flying: dict[int, Future[bytes]] = field(default_factory=dict)
    open: bool = True  # it takes tasks: it is not about to leave, nor short of memory
    beaten: float = field(default_factory=time.monotonic)  # when it was told last that we are there


class DaskEngine:
    """See above.

    Args:
        address: Of the scheduler, as Dask has it.
        spec: For the nodes.
        keys: The worker's; a node must have one that reads what these sign.
        lease: Seconds without a sign of life after which a worker is given up.
    """

    stretch = 5.0
    distance = 20.0  # a chunk is cut after 0.5 s, and may take twice as long

    def __init__(self, address: str, spec: Spec, keys: Keyring, lease: float) -> None:
        self._address, self._spec, self._keys, self._lease = address, spec, keys, lease
        self._loop = asyncio.new_event_loop()
        self._workers: dict[str, _Worker] = {}  # by their keys
        self._slots: tuple[Slot, ...] = ()
        self._refused: dict[str, tuple[str, float]] = {}  # address -> why, and when to ask again
        self._enlisting: set[str] = set()
        self._silent: dict[str, float] = {}  # address -> when it was heard of last, of those given up
        self._client: Client | None = None
        self._look = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._closing = threading.Event()
        self._why = ""  # the scheduler is away; "": it is not
        self._since = time.monotonic()  # when the last slot went, or the scheduler was reached
        self._thread = threading.Thread(target=self._run, name="dask", daemon=True)

    # -- of the service's thread -----------------------------------------------------------------------

    def open(self, told: Told) -> None:
        self._told = told
        for name in ("distributed", "distributed.client"):  # Dask sets a level of its own for each
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is said here, in a line
        self._thread.start()

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    @property
    def trouble(self) -> str:
        silent = time.monotonic() - self._since
        if self._why:
            return f"the Dask scheduler {self._address}: {self._why}" if silent > AWAY else ""
        if self._enlisting or silent < EMPTY:
            return ""
        refused = "; ".join(f"{address} {why}" for address, (why, _again) in sorted(self._refused.items())[:3])
        return f"the Dask cluster {self._address} has no worker{f' that fits: {refused}' if refused else ''}"

    def submit(self, slot: Slot, parcel: Parcel) -> None:
        self._call(self._submit, slot, parcel)

    def tell(self, slot: Slot, word: Word) -> None:
        self._call(lambda: self._begin(self._tell(slot, word)))

    def close(self) -> None:
        self._closing.set()
        self._call(self._look.set)
        self._thread.join(_LEAVES)

    def _call(self, act: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon_threadsafe(act, *args)

    # -- the loop --------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        pause = _PAUSES[0]
        while not self._closing.is_set():
            try:
                async with Client(
                    self._address, asynchronous=True, set_as_default=False, timeout=_CONNECTS
                ) as client:
                    self._client, self._why, pause = client, "", _PAUSES[0]
                    self._since = time.monotonic()  # its workers find it again later than we do
                    client.subscribe_topic("all", self._happened)
                    await self._watch(client)
                    if self._closing.is_set():
                        await self._dismiss(client)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - of anybody's scheduler
                self._why = f"can't be reached: {_line(error)}"
                log.warning("%s; next try in %.1f s", self._why, pause, extra={"action": "no_scheduler"})
            self._client = None
            self._lose_all("the scheduler is away")
            if not self._closing.is_set():
                await self._rest(pause)
                pause = min(2 * pause, _PAUSES[1])

    async def _rest(self, seconds: float) -> None:
        """Wait, until something happens."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), seconds)
        self._look.clear()

    def _happened(self, event: tuple[float, dict[str, Any]]) -> None:
        """Dask tells of workers that come and go, among much else."""
        if event[1].get("action") in ("add-worker", "remove-worker"):
            self._look.set()

    async def _watch(self, client: Client) -> None:
        """Look which workers there are, until the service or the scheduler ends.

        Raises:
            OSError, TimeoutError: The scheduler is away.
        """
        while not self._closing.is_set():
            scheduler: Any = client.scheduler
            if client.status != _RUNNING:
                raise OSError("the connection was lost")
            told = await asyncio.wait_for(scheduler.identity(), self._lease)
            self._compare(client, told["workers"])
            await self._rest(_LOOK)

    def _compare(self, client: Client, there: dict[str, dict[str, Any]]) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            info = there.get(worker.address)
            if info is None:
                self._lose(worker, "its Dask worker is gone")
                continue
            if info["last_seen"] != worker.seen:
                worker.seen, worker.changed = info["last_seen"], now
            elif now - worker.changed > self._lease:
                self._silent[worker.address] = worker.seen
                self._lose(worker, "its Dask worker is silent")
                continue
            if worker.open != (info["status"] == _RUNNING):
                worker.open = not worker.open  # what it has may still end
                self._renumber()
            if now - worker.beaten > self._lease / _BEATS:
                worker.beaten = now
                self._begin(self._beat(client, worker))
        self._refused = {one: what for one, what in self._refused.items() if one in there and what[1] > now}
        self._silent = {
            one: at for one, at in self._silent.items() if one in there and there[one]["last_seen"] == at
        }
        known = {worker.address for worker in self._workers.values()}
        for address in there.keys() - known - self._enlisting - self._refused.keys() - self._silent.keys():
            if there[address]["status"] == _RUNNING:
                self._enlisting.add(address)
                self._begin(self._enlist(client, address))

    # -- workers ---------------------------------------------------------------------------------------

    async def _ask(self, client: Client, address: str, seconds: float, function: Any, *args: Any) -> Any:
        """Have a function run on a worker's loop; what it returns.

        Raises:
            Exception: Whatever it, or the way there, raises.
        """
        told = await asyncio.wait_for(client.run(function, *args, workers=[address], on_error="return"), seconds)
        if address not in told:
            raise OSError(f"the worker {address} is gone")
        if isinstance(answer := told[address], BaseException):
            raise answer
        return answer

    async def _enlist(self, client: Client, address: str) -> None:
        try:
            kind = await self._ask(client, address, _STARTS, dask_node.introduce, spec.challenge(self._keys))
            why = spec.refusal(kind, self._spec.build)
            if not why:
                count, host = await self._ask(client, address, _STARTS, dask_node.enlist, self._spec)
        except ImportError as error:
            why = f"lacks what a node needs: {error}"
        except Exception as error:  # noqa: BLE001 - whatever a worker of a cluster can answer
            why = f"has failed: {_line(error)}"
        self._enlisting.discard(address)
        if self._client is not client:
            return
        if why:
            log.error("the Dask worker %s %s; it gets no work", address, why, extra={"action": "node_refused"})
            self._refused[address] = why, time.monotonic() + _AGAIN
            self._told.changed()
            return
        key = f"{address} {time.monotonic_ns()}"
        worker = _Worker(address, key, tuple(Slot(key, number, host) for number in range(count)))
        self._workers[key] = worker
        log.info("the Dask worker %s has %d seats", address, count, extra={"action": "node_joined"})
        self._renumber()

    async def _beat(self, client: Client, worker: _Worker) -> None:
        try:
            there = await self._ask(client, worker.address, _ANSWERS, dask_node.beat, self._spec.name)
        except Exception as error:  # noqa: BLE001 - it may be stopped, or gone: the scheduler says so in time
            log.debug("no answer from %s: %r", worker.address, error, extra={"action": "no_beat"})
        else:
            if not there:
                self._lose(worker, "its seats have ended")

    def _lose(self, worker: _Worker, why: str) -> None:
        if self._workers.pop(worker.key, None) is None:
            return
        if not self._closing.is_set():
            log.warning("the seats on the Dask worker %s are lost: %s", worker.address, why,
                        extra={"action": "node_lost"})  # fmt: skip
        self._renumber()
        flying, worker.flying = list(worker.flying.values()), {}
        for slot in worker.slots:
            self._told.lost(slot, None, why)
        if self._client is not None and self._client.status == _RUNNING and flying:
            self._begin(self._cancel(self._client, flying))

    @staticmethod
    async def _cancel(client: Client, futures: list[Future[bytes]]) -> None:
        await client.cancel(futures, force=True)

    def _lose_all(self, why: str) -> None:
        for worker in list(self._workers.values()):
            self._lose(worker, why)
        self._enlisting.clear()
        self._told.changed()

    async def _dismiss(self, client: Client) -> None:
        """Have the seats end now, and not when they notice that the service is gone."""
        asked = [
            self._ask(client, worker.address, _ANSWERS, dask_node.dismiss, self._spec.name)
            for worker in self._workers.values()
        ]
        for error in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(error, Exception):
                log.debug("not dismissed: %r", error, extra={"action": "not_dismissed"})

    def _renumber(self) -> None:
        self._slots = tuple(slot for worker in self._workers.values() if worker.open for slot in worker.slots)
        if not self._slots:
            self._since = time.monotonic()
        self._told.changed()

    # -- tasks -----------------------------------------------------------------------------------------

    def _submit(self, slot: Slot, parcel: Parcel) -> None:
        worker, client = self._workers.get(slot.node), self._client
        if worker is None or client is None:
            self._told.lost(slot, [parcel.number], "its Dask worker is gone")
            return
        task = parcel.task
        new = task.introduction if isinstance(task, ChunkTask) else None
        introduced = new is not None and isinstance(task, ChunkTask) and task.key in worker.known
        if new is not None and isinstance(task, ChunkTask):
            worker.known.add(task.key, new.size)
        self._send(client, worker, slot, parcel, introduced=introduced)

    def _send(self, client: Client, worker: _Worker, slot: Slot, parcel: Parcel, *, introduced: bool) -> None:
        future = client.submit(
            dask_node.run_in_seat, self._spec.name, here.pack(parcel, introduced=introduced),
            workers=[worker.address], allow_other_workers=False, pure=False, retries=0,
        )  # fmt: skip
        worker.flying[parcel.number] = future
        self._begin(self._await(client, worker, slot, parcel, future))

    async def _await(
        self, client: Client, worker: _Worker, slot: Slot, parcel: Parcel, future: Future[bytes]
    ) -> None:
        try:
            told, what = here.unpack(await future)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - KilledWorker blames, and knows nothing
            told, what = here.GONE, _line(error)
        if worker.flying.pop(parcel.number, None) is None:
            return  # the worker was lost, and that was told
        if told == here.UNKNOWN:
            self._send(client, worker, slot, parcel, introduced=False)
        elif told == here.RECALLED:
            self._told.recalled(slot, parcel.number)
        elif isinstance(what, Answer):
            self._told.answered(slot, parcel.number, what)
        else:
            self._look.set()  # the scheduler may be away, or the worker gone
            self._told.lost(slot, [parcel.number], str(what))

    async def _tell(self, slot: Slot, word: Word) -> None:
        worker, client = self._workers.get(slot.node), self._client
        if worker is None or client is None or word.number not in worker.flying:
            return
        try:
            unbegun = await self._ask(client, worker.address, _ANSWERS, dask_node.tell, self._spec.name, word)
        except Exception as error:  # noqa: BLE001 - the worker may be gone, which is told in time
            log.debug("a word to %s was lost: %r", worker.address, error, extra={"action": "word_lost"})
            return
        if unbegun and isinstance(word, Recall) and worker.flying.pop(word.number, None) is not None:
            self._told.recalled(slot, word.number)

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _line(error: BaseException) -> str:
    """What an error says, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
