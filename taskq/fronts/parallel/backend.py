"""joblib's backend "taskq"."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import joblib
from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
    ThreadingBackend,
)
from redis.exceptions import RedisError

from taskq.errors import OptionError
from taskq.fronts.parallel import own
from taskq.fronts.parallel.batch import Batch
from taskq.fronts.parallel.running import KIND, Running, Told
from taskq.fronts.place import Place
from taskq.fronts.terms import PATIENCE, Terms
from taskq.queue import Queue
from taskq.redis import reach, services
from taskq.redis.connection import default_url, in_worker
from taskq.redis.urls import url_of

_THEIRS = frozenset({"temp_folder", "mmap_mode", "verbose", "context"})
"""What joblib tells each backend, and means nothing here."""

_ALL = -1  # joblib's word for all processes


class TaskqBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs the calls of ``joblib.Parallel`` on the workers of a queue, or in processes of this program's own.

        with joblib.parallel_config("taskq", queue=q):
            joblib.Parallel()(joblib.delayed(compute)(n) for n in range(100))

    Each call of a ``Parallel``, or each of its ``with`` blocks, is one map job, and each call of a function is one
    of its items. The options can be given to ``joblib.parallel_config`` and to ``joblib.Parallel``.

    Args:
        nesting_level: joblib's.
        inner_max_num_threads: Threads that BLAS and OpenMP may have in processes of this program's own. Default:
            as many as there are cores for each.
        queue: Whose workers run the calls. Default: those of ``url``, or of ``TASKQ_URL``; without any, a private
            server and ``n_jobs`` processes, which stay until they were idle for 5 minutes, or the program ends.
        url: Of a server, instead of a queue.
        resume: A name under which the results of all calls are kept, for 30 days: a program that was killed goes
            on where it was when it is started again, and one that has ended runs nothing again. Needs a queue.
            Default: nothing is kept.
        initializer: Called once in each process before the first call there.
        initargs: Its arguments.
        patience: Seconds for which the server may be away; None: for ever. Default: 30.
        payload_limit: Bytes that the arguments of a call, or one result, may have, where no queue is given that
            says so. Default: 64 MiB.
        options: Those of ``FrontKeywords``: ``item_timeout``, ``weight``, ``max_running``, ``meta``, ...

    Raises:
        OptionError: If an option is unknown or unusable.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = _ALL

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **options: Any
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._options = self._told = options
        self._serves: Any = None  # the Parallel; None: it is only what was told to ``joblib.parallel_config``
        self._workers: Running | None = None
        _read(options)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at the same time, as far as joblib needs to know: a number from 1 on is believed.

        With 1, joblib has them run in this program. So a queue has 2 at least, if no number is said.

        Raises:
            ValueError: If it is 0.
            ServerError: If it is below 0, and the server can't be asked for its workers.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return int(n_jobs)
        processes = self._processes()
        return max(processes + 1 + (n_jobs or _ALL), 1 if self._is_own(self._told) else 2)

    def _processes(self) -> int:
        """All there are: of the queue's live workers, or of this machine if there are none yet."""
        if in_worker() or self._is_own(self._told):
            return int(joblib.cpu_count())
        queue = self._told.get("queue") or Queue(url=self._told.get("url") or default_url())
        try:
            return services.cores(queue.connection, queue.name) or int(joblib.cpu_count())
        except (RedisError, OSError) as error:
            raise reach.server_error(error, url_of(queue.connection)) from error
        finally:
            if queue is not self._told.get("queue"):
                queue.connection.close()

    @staticmethod
    def _is_own(told: Mapping[str, Any]) -> bool:
        """Whether the calls run in processes of this program's own."""
        return told.get("queue") is None and told.get("url") is None and not os.environ.get("TASKQ_URL")

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **options: Any
    ) -> int:
        """As joblib asks, before the first call; a session begins with that.

        Raises:
            FallbackToBackend: joblib's: with one job it needs none, in a pool process it has threads, and each
                ``Parallel`` has a backend of its own.
            OptionError: If an option is unknown or unusable.
            ServerError: If processes of this program's own do not start.
        """
        del prefer, require
        named = {name: value for name, value in options.items() if name not in _THEIRS}
        shares = named.pop("max_nbytes", 0) is not None and options.get("mmap_mode", "r") is not None
        self._told = {**self._options, **named}
        n_jobs = self.effective_n_jobs(n_jobs)
        level = self.nesting_level or 0
        if n_jobs == 1 or (in_worker() and level > 1):
            raise FallbackToBackend(SequentialBackend(nesting_level=level))
        if in_worker():  # a process that waits for calls would keep it from running them
            raise FallbackToBackend(ThreadingBackend(nesting_level=level))
        if self._serves is not parallel:
            raise FallbackToBackend(self._another(parallel))
        self.parallel = parallel
        queue, url, told = _read(self._told, shares=shares)
        Terms(KIND, None, told.patience, told.initializer, told.initargs, told.options).check()
        place = self._place(queue, url, n_jobs, self._told.get("payload_limit"), resumes=told.resume is not None)
        try:
            self._workers = Running(place, told)
        except BaseException:
            place.close()
            raise
        return n_jobs

    def _another(self, parallel: Any) -> TaskqBackend:
        """One for this ``Parallel`` alone.

        ``joblib.parallel_config`` gives all the same one, but a ``Parallel`` may begin within the block of
        another, or in another thread.
        """
        made = TaskqBackend(self.nesting_level, self.inner_max_num_threads, **self._options)
        made._serves = parallel
        return made

    def _place(
        self, queue: Queue | None, url: str | None, n_jobs: int, limit: int | None, *, resumes: bool
    ) -> Place:
        if self._is_own(self._told):
            if resumes:
                raise OptionError(
                    "resume= needs a queue, a url or TASKQ_URL: a private server ends with the program"
                )
            return own.borrow(n_jobs, self._prepare_worker_env(n_jobs=n_jobs), limit)
        if self.inner_max_num_threads is not None:
            raise OptionError(
                "inner_max_num_threads is for processes that the backend starts itself; these are of workers: "
                "start them with OMP_NUM_THREADS and the like"
            )
        return Place(queue, url, None, payload_limit=limit)

    def submit(self, func: Any, callback: Callable[[Batch], object] | None = None) -> Batch:
        """Have a batch of joblib's run; raises as ``Running.submit``."""
        workers = self._workers
        if workers is None:
            raise RuntimeError("this Parallel has ended")
        nested = func._backend, func._n_jobs  # noqa: SLF001 - joblib has no other name for them
        return workers.submit(func.items, nested, callback)

    def retrieve_result_callback(self, out: Batch) -> list[Any]:
        """The results of a batch that is over; raises what one of its calls has raised."""
        return out.result()

    def terminate(self) -> None:
        """As joblib asks, after the last call."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """As joblib asks, when results are not wanted any more: what runs is killed."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.abort()
        if ensure_ready:
            parallel = self.parallel
            self.configure(n_jobs=parallel.n_jobs, parallel=parallel, **parallel._backend_kwargs)  # noqa: SLF001

    def __reduce__(self) -> tuple[Any, ...]:
        """Where it travels with a call, it is one without options: it has threads there."""
        return TaskqBackend, (self.nesting_level,)


def _read(options: dict[str, Any], *, shares: bool = True) -> tuple[Queue | None, str | None, Told]:
    """The queue, the URL, and what a ``Parallel`` is told.

    Raises:
        OptionError: If an option is unknown or unusable.
    """
    left = dict(options)
    queue, url = left.pop("queue", None), left.pop("url", None)
    left.pop("payload_limit", None)  # of the place
    initializer, initargs = left.pop("initializer", None), tuple(left.pop("initargs", ()))
    patience, resume = left.pop("patience", PATIENCE), left.pop("resume", None)
    told = Told(shares, initializer, initargs, patience, left, resume)
    return queue, url, told


def register() -> None:
    """Have joblib know it by its name."""
    joblib.register_parallel_backend("taskq", TaskqBackend)
