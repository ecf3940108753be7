"""What a worker is told at its start: built once from options and environment, then only passed down."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from loky import cpu_count

from taskq.errors import OptionError
from taskq.payload import imports, signing
from taskq.payload.signing import Keyring
from taskq_workers.logs import LogOptions
from taskq_workers.rq_options import RQOptions

HOST = socket.gethostname()

MAX_SPARED = 10
"""Deaths that end no last chance, as others ran as well; the next one does, or killers would go round for ever."""

MAX_DEATHS = 3
"""Processes that a chunk may kill before it is split, and an item alone before it is given up."""


@dataclass(frozen=True)
class Trust:
    """Whose work a worker does.

    Args:
        keys: What is not signed with one of these is refused; none: everything is accepted.
        allowed: Patterns of the functions that may be called by name; none: all may. See ``imports.py``.
        private_webhooks: Webhooks may be sent to any address, not to public ones only. See ``webhooks.py``.
    """

    keys: Keyring = field(default_factory=signing.keyring)
    allowed: tuple[str, ...] = ()
    private_webhooks: bool = False

    def apply(self) -> None:
        """Make it the rule of this process."""
        signing.use(self.keys)
        imports.allow(self.allowed)


@dataclass(frozen=True)
class Wear:
    """When a pool process has done enough, and is replaced between two of its tasks.

    Args:
        tasks: Chunks and jobs; 0: no limit.
        memory: MiB that are resident after a task; 0: no limit.
    """

    tasks: int = 0
    memory: float = 0.0


@dataclass(frozen=True)
class Settings:
    """The options of ``taskq worker``.

    Args:
        url: Of Redis.
        queues: Names, in order of priority.
        services: Service processes.
        processes: Pool processes of each service.
        grace: Seconds which chunks and jobs in flight are given when the worker stops.
        lease: Seconds without a sign of life after which other workers take over what this one held.
        trust: Secret keys, and what may be called.
        wear: When a pool process is replaced.
        path: Folders in which pool processes look for modules first.
        preload: Modules that pool processes have from their start.
        private: The server is one of taskq's own, which lives as long as the worker: see ``taskq.local``.
        logs: How to log; None: whoever made the process has seen to that.
        metrics: Host and port where ``/metrics`` is served; None: nowhere.
        metrics_hosts: Names with a dot by which it may be asked for.
        rq: What ``rq worker`` can be told, too.
        build: What the manager has read at its start (``build.py``); all of the worker's processes must be of it.
            "": that is not looked at.
        refusal_grace: Seconds for which a map that no live service can run waits for one that can.
        reload: The services start afresh whenever a module in one of the folders changes.
        engine: What runs chunks in place of pool processes here: see ``engines/choose.py``. "": nothing does.
        min_replicas: Replicas that must have what was committed before a service takes anything more; 0: none.
    """

    url: str
    queues: tuple[str, ...] = ("default",)
    services: int = 1
    processes: int = 1
    grace: float = 30.0
    lease: float = 30.0
    trust: Trust = field(default_factory=Trust)
    wear: Wear = Wear()
    path: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    private: bool = False
    metrics: tuple[str, int] | None = None
    metrics_hosts: tuple[str, ...] = ()
    logs: LogOptions | None = None
    rq: RQOptions = field(default_factory=RQOptions)
    build: str = ""
    refusal_grace: float = 10.0
    reload: bool = False
    engine: str = ""
    min_replicas: int = 0

    def __post_init__(self) -> None:
        if not self.queues:
            raise OptionError("a worker needs at least one queue")
        for name, least in (
            ("services", 1), ("processes", 1), ("grace", 0), ("lease", 1), ("refusal_grace", 0),
            ("min_replicas", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise OptionError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.wear.tasks < 0 or self.wear.memory < 0:
            raise OptionError("the limits of a pool process (tasks, memory) must be above 0, or 0 for none")

    def __repr__(self) -> str:  # the URL may hold a password
        return f"<Settings {','.join(self.queues)} services={self.services} processes={self.processes}>"


def usable_cores() -> int:
    """The cores that this process may use: affinity and container limits are respected."""
    return int(cpu_count())


def worker_prefix(manager: str, worker_id: int, given: str = "") -> str:
    """What the RQ names of all incarnations of one service begin with; ``given``: by ``--name``.

    ``manager`` is a name that no other manager has, though host names and process ids of containers may be
    alike. The manager, which only knows the number of a dead service, finds by it what that one has left behind.
    """
    return f"{given or 'taskq-' + socket.gethostname()}-{manager}-{worker_id}-"


def worker_name(manager: str, worker_id: int, given: str = "") -> str:
    """The RQ worker name of the service that runs in this process; no other incarnation ever has it."""
    return f"{worker_prefix(manager, worker_id, given)}{os.getpid()}-{os.urandom(3).hex()}"
