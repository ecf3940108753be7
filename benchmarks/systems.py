"""The systems whose recovery is measured, each under a supervisor that starts it again at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import rq
from rq import Retry

from benchmarks.ledger import step
from taskq import Queue
from taskq.redis import services
from taskq.redis.connection import connect
from tests.acceptance.worker import ROOT, Server, environment, kill_all
from tests.waiting import wait_until

ITEMS = 30  # of one round
SECONDS = 0.1  # of one item


class Supervised:
    """A command in a session of its own, started again when it ends."""

    def __init__(self, command: list[str], log: Path, **variables: str) -> None:
        self._command, self._log = command, log
        self._variables = variables
        self._sessions: set[int] = set()
        self._enough = threading.Event()
        self._start()
        threading.Thread(target=self._tend, daemon=True).start()

    def _start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=environment(**self._variables), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._sessions.add(self.process.pid)

    def _tend(self) -> None:
        while not self._enough.wait(0.01):
            if self.process.poll() is not None:
                self._start()

    def abandon(self) -> None:
        """From now on, nobody starts it again."""
        self._enough.set()

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.Error):
                if os.getsid(process.pid) in self._sessions and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill_tree(self) -> None:
        self.abandon()
        kill_all(self.processes)


class System:
    """What they have in common; each says how it is started, pushed to and killed."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.connection = connect(server.url, retries=10)
        self.connection.flushdb()
        self.hosts: list[Supervised] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for host in self.hosts:
            host.kill_tree()

    def push(self, ledger: str) -> None:
        """Put ``ITEMS`` calls of ``step`` on the queue."""
        raise NotImplementedError

    def clear(self) -> None:
        """Let the round end."""
        raise NotImplementedError

    def restart_redis(self) -> None:
        self.server.kill()
        self.server.start()

    def cut(self) -> None:
        self.connection.client_kill_filter(_type="normal")
        self.connection.client_kill_filter(_type="pubsub")


class Taskq(System):
    def __init__(self, server: Server, folder: Path, *options: str, hosts: int = 1) -> None:
        super().__init__(server, folder)
        self._queue = Queue(connection=self.connection)
        command = [sys.executable, "-m", "taskq", "worker", "--processes", "2", "--grace", "5", *options]
        self.hosts = [Supervised(command, folder / f"taskq-{n}.log", TASKQ_URL=server.url) for n in range(hosts)]
        wait_until(lambda: len(services.live(self.connection)) == hosts)
        self._job: Any = None

    def push(self, ledger: str) -> None:
        self._job = self._queue.starmap(step, [(ledger, n, SECONDS) for n in range(ITEMS)], chunksize=1)

    def clear(self) -> None:
        self._job.cancel()
        wait_until(lambda: len(services.live(self.connection)) >= 1)
        time.sleep(0.3)  # a service that just came is not yet one that died young

    @property
    def _service(self) -> services.ServiceInfo:
        owner = self._job.connection.hget(self._job.store.keys.hash, "owner").decode()
        return next(info for info in services.live(self.connection) if info.name == owner)

    def kill_pool_process(self) -> set[int]:
        victim = self._service.pids[0]
        os.kill(victim, signal.SIGKILL)
        return {victim}

    def kill_service(self) -> set[int]:
        service = self._service
        os.kill(service.pid, signal.SIGKILL)
        return set(service.pids)

    def kill_manager(self) -> set[int]:
        self.hosts[0].process.kill()
        return set()

    def lose_host(self) -> set[int]:
        service = self._service
        host = next(host for host in self.hosts if service.pid in {process.pid for process in host.processes()})
        host.kill_tree()
        return set(service.pids)


class Rq(System):
    """RQ's worker pool of one worker: it forks a horse for each job."""

    def __init__(self, server: Server, folder: Path) -> None:
        super().__init__(server, folder)
        self._queue = rq.Queue(connection=self.connection)
        self._ledger = folder
        self.started_for = 0.0  # seconds for which RQ leaves a lost job as it is
        command = [sys.executable, "-m", "rq.cli", "worker-pool", "-n", "1", "-q", "--url", server.url]
        self.hosts = [Supervised(command, folder / "rq.log")]
        wait_until(lambda: rq.Worker.count(self.connection) == 1)

    def push(self, ledger: str) -> None:
        self._ledger = Path(ledger)
        jobs = [
            rq.Queue.prepare_data(step, (ledger, n, SECONDS), retry=Retry(max=3), result_ttl=60)
            for n in range(ITEMS)
        ]
        self._queue.enqueue_many(jobs)

    def clear(self) -> None:
        self._queue.empty()
        time.sleep(0.3)

    def kill_horse(self) -> set[int]:
        victim = self._horse_and_worker()[0]
        victim.kill()
        return {victim.pid}

    def _horse_and_worker(self) -> tuple[psutil.Process, psutil.Process]:
        """A horse that has begun with its item, and its worker."""
        found: list[psutil.Process] = []

        def look() -> bool:
            for worker in psutil.Process(self.hosts[0].process.pid).children():
                with suppress(psutil.Error):
                    for horse in worker.children():
                        if (self._ledger / str(horse.pid)).exists():
                            found[:] = [horse, worker]
                            return True
            return False

        wait_until(look)
        return found[0], found[1]

    def kill_worker(self) -> set[int]:
        self._horse_and_worker()[1].kill()
        return set()

    def kill_worker_and_horse(self) -> set[int]:
        victim, worker = self._horse_and_worker()
        worker.kill()
        victim.kill()
        scores = self.connection.zrange(self._queue.started_job_registry.key, 0, -1, withscores=True)
        self.started_for = max([self.started_for, *(score - time.time() for _member, score in scores)])
        return {victim.pid}


class Celery(System):
    def __init__(self, server: Server, folder: Path) -> None:
        super().__init__(server, folder)
        from benchmarks import celery_app

        celery_app.use(server.url)
        self._step = celery_app.step
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.celery_app", "worker", "-c", "2", "-P",
                   "prefork", "--without-gossip", "--without-mingle", "-l", "WARNING"]  # fmt: skip
        self.hosts = [Supervised(command, folder / "celery.log", BROKER_SOCKET=server.url)]

    def push(self, ledger: str) -> None:
        for n in range(ITEMS):
            self._step.delay(ledger, n, SECONDS)

    def clear(self) -> None:
        self.connection.delete("celery")
        time.sleep(0.5)

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self.hosts[0].process.pid).children()

    def kill_pool_process(self) -> set[int]:
        victim = self._children()[0]
        victim.kill()
        return {victim.pid}

    def kill_service(self) -> set[int]:
        """The main process and its children."""
        children = self._children()
        self.hosts[0].process.kill()
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        return {child.pid for child in children}
