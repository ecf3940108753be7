"""Functions that the tests' jobs call by name."""

from __future__ import annotations

import itertools
import logging
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil


def square(n: int) -> int:
    return n * n


def add(a: int, b: int) -> int:
    return a + b


def invert(n: int) -> float:
    return 1 / n


def compute(n: int) -> int:
    """The seed's job."""
    return sum([random.randint(1, 100) for _ in range(1_000_000)])


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def nap_or_wait(seconds: float, flag: str) -> None:
    time.sleep(seconds)
    wait_for(flag)


def nest(depth: int, how: str = "get") -> int:
    """Maps itself, and waits for that, so many times."""
    from taskq import Queue

    if not depth:
        return 0
    inner = Queue().starmap(nest, [(depth - 1, how)])
    if how == "wait":
        inner.wait()
    firsts = {"iterate": lambda: next(iter(inner)), "in_order": lambda: next(inner.in_order())}
    return 1 + int(firsts.get(how, lambda: inner.get()[0])())


_executors: list[Any] = []  # that outlive the items which have made them


def leave_a_call(queue: str, began: str, flag: str) -> int:
    """Submits a call to an executor, and ends when that has begun."""
    import taskq

    _executors.append(taskq.Executor(queue=taskq.Queue(queue)))
    _executors[-1].submit(begin_and_wait, began, flag)
    return len(wait_for(began)) and 1


def begin_and_wait(began: str, flag: str) -> str:
    Path(began).touch()
    return wait_for(flag)


def call_again(_queue: str, began: str, _flag: str) -> int:
    """Waits for another call of that executor."""
    Path(began + "-again").touch()
    return int(_executors[-1].submit(square, 3).result())


def nest_at(url: str) -> int:
    """Waits for a map on the server with that URL."""
    from taskq import Queue

    return int(Queue(url=url).map(square, [3]).get()[0])


def wait_for(flag: str) -> str:
    """Lasts until the flag is there; an empty one always is."""
    while flag and not Path(flag).exists():
        time.sleep(0.005)
    return flag


def exit_at_3(n: int) -> int:
    if n == 3:
        sys.exit("three")
    return n


def interrupt(n: int) -> int:
    raise KeyboardInterrupt


class Stubborn(Exception):  # noqa: N818 - its name is what the tests look for
    """Pickles, but can't be unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def stubborn(n: int) -> int:
    raise Stubborn(n, n)


def unpicklable(n: int) -> Any:
    return (i for i in range(n)) if n else 0


def big(n: int) -> bytes:
    return bytes(n)


def large(n: int) -> bytes:
    """A mebibyte that says whose it is."""
    return n.to_bytes(8, "big") * (1 << 17)


def large_until_3(n: int) -> bytes:
    die_at_3(n)
    return large(n)


def die_at_3(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def exit_process(n: int) -> int:
    os._exit(n)


def die_once(flag: str) -> str:
    """Kills its process the first time."""
    path = Path(flag)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def run_once(ledger: str, n: int, seconds: float) -> int:
    """Leaves a line in the ledger for each run, as it begins."""
    with Path(f"{ledger}.{os.getpid()}").open("a") as file:
        file.write(f"{n}\n")
    time.sleep(seconds)
    return n * n


def hang_once(folder: str, guilty: int, n: int) -> int:
    """One item hangs the first time."""
    flag = Path(folder, "hangs")
    if n == guilty and not flag.exists():
        flag.touch()
        time.sleep(1800)
    return n * n


def wait_first(ledger: str, n: int, flag: str) -> int:
    """As ``run_until``; but only the first run waits for the flag."""
    run_once(ledger, n, 0)
    if flag:
        first = Path(f"{flag}.first")
        if not first.exists():
            first.touch()
            wait_for(flag)
    return n * n


def come_last(n: int) -> int:
    """Item 0 ends when the results of all the others are there; needs the worker's Redis."""
    from rq import get_current_job

    from taskq import MapJob

    job = get_current_job()
    assert job is not None
    progress = MapJob.fetch(job.id, connection=job.connection).progress
    while n == 0 and progress.done < progress.total - 1:
        time.sleep(0.005)
        progress = MapJob.fetch(job.id, connection=job.connection).progress
    return n


def run_until(ledger: str, n: int, flag: str) -> int:
    """As ``run_once``, but lasts until the flag is there."""
    run_once(ledger, n, 0)
    wait_for(flag)
    return n * n


def fail_first(n: int) -> float:
    """Item 0 fails at once, the others take their time."""
    time.sleep(0.1 if n else 0)
    return 1 / n


def fail_odd(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


def fail_until(flag: str, n: int) -> int:
    """Fails while the flag is there."""
    if n == 2 and Path(flag).exists():
        raise ValueError("not yet")
    return n


def current_job(_n: int) -> tuple[str, str]:
    from rq import get_current_job

    job = get_current_job()
    assert job is not None
    return job.id, job.description


def append_to(results: Any, n: int) -> None:
    results.append(n)


def remember(job: Any, connection: Any, *args: Any) -> None:
    """A callback that leaves a trace in Redis."""
    connection.set(f"test:callback:{job.id}", repr(args[0]))


def sleep_in_c(seconds: float) -> None:
    """Holds the GIL and looks at no signal."""
    import ctypes

    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


hooks: dict[str, Any] = {}


def hooked(item: Any) -> Any:
    """Calls what a test has put there; only for workers in the test's own process."""
    return hooks["call"](item)


def note_in_meta(n: int) -> int:
    """Leaves its process id in the job's meta."""
    from rq import get_current_job

    job = get_current_job()
    assert job is not None
    job.meta[f"process of {n}"] = os.getpid()
    job.save_meta()
    return n


def remember_process(job: Any, connection: Any, *args: Any) -> None:
    """A callback that says in which process it ran."""
    connection.set(f"test:callback:{job.id}", os.getpid())


def _on_sending(act: Any) -> None:
    """Have this process call ``act`` the next time it sends an outcome, instead of sending it."""
    from taskq_workers.process import process

    pickler: Any = process.pickle

    class Once:
        loads = staticmethod(pickler.loads)

        @staticmethod
        def dumps(_answer: Any) -> None:
            process.pickle = pickler
            act()

    process.pickle = Once  # type: ignore[assignment]


def die_sending(n: int) -> int:
    """Kills its process when its outcome is about to be sent, long after it has returned."""
    if n == 1:
        _on_sending(lambda: os.kill(os.getpid(), signal.SIGKILL))
    return n


def unsendable(n: int) -> int:
    """Its outcome can't be sent."""

    def refuse() -> None:
        raise ValueError("can't be sent")

    if n == 1:
        _on_sending(refuse)
    return n


def leave_an_alarm(seconds: float) -> int:
    """Sets an alarm that is deadly when it goes off, and forgets it; its own process's id."""
    if seconds:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:
        time.sleep(0.3)
    return os.getpid()


def linger(job: Any, connection: Any, *args: Any) -> None:
    """A callback that takes longer than its job may, and then leaves a trace in Redis."""
    time.sleep(job.timeout + 1.5)
    connection.set(f"test:callback:{job.id}", "ended")


def wait_for_deletion(job: Any, connection: Any, *args: Any) -> None:
    """A callback that lasts until its job is deleted."""
    connection.set(f"test:callback:{job.id}", "began")
    while connection.exists(job.key):
        time.sleep(0.005)


def sleep_at(guilty: int, seconds: float, n: int) -> int:
    if n == guilty:
        time.sleep(seconds)
    return n


def sleep_in_c_at(guilty: int, seconds: float, n: int) -> int:
    """C code that never returns to the interpreter, so that no alarm of Python's gets through."""
    deadline = time.monotonic() + seconds
    while n == guilty and time.monotonic() < deadline:
        sum(itertools.repeat(1, 10**12))
    return n


def swallow(seconds: float) -> str:
    try:
        time.sleep(seconds)
    except Exception:  # noqa: BLE001 - what users write
        return "caught"
    return "slept"


def ask_again(max_tries: int) -> Any:
    """Returns a ``Retry``, as RQ's jobs may."""
    from rq import Retry

    return Retry(max=max_tries)


def echo(value: Any) -> Any:
    return value


def echo_callback(job: Any, connection: Any, *args: Any) -> None:
    """A callback that only asks the server for something of RQ's."""
    connection.exists(job.key)


def process_id(_n: int) -> int:
    return os.getpid()


_leaked: list[bytes] = []


def leak(mebibytes: int) -> int:
    _leaked.append(b"x" * (mebibytes << 20))
    return mebibytes


def has_imported(module: str) -> bool:
    return module in sys.modules


class Sealed:
    """Pickles, but not back."""

    def __reduce__(self) -> Any:
        return _break_the_seal, ()


def _break_the_seal() -> Any:
    raise OSError("it can't be opened again")


def sealed_at_3(n: int) -> Any:
    return {"inside": [Sealed()]} if n == 3 else n


class Absent:
    """Can't be unpickled where a test says so."""

    absent = False

    def __setstate__(self, state: Any) -> None:
        if Absent.absent:
            raise ImportError("no such class here")


def absent_at_3(n: int) -> Any:
    one = Absent()
    one.n = n  # type: ignore[attr-defined]
    return one if n == 3 else n


def die_once_then(n: int) -> int:
    """Kills its process the first time that this job's item runs; needs the worker's Redis."""
    from rq import get_current_job

    job = get_current_job()
    assert job is not None
    if job.connection.set(f"test:died:{job.id}:{n}", 1, nx=True):
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def log_item(n: int) -> int:
    logging.getLogger("user.code").info("item %d", n)
    return n


def draw(seconds: float) -> tuple[int, int, int]:
    """The process, a random number of NumPy's, and what a module called torch was seeded with."""
    import numpy as np
    import torch  # type: ignore[import-not-found] # one of a test's own

    time.sleep(seconds)
    return os.getpid(), int(np.random.randint(2**31)), torch.numbers[0]  # noqa: NPY002 - the global numbers are meant


def explode(job: Any, *_: Any) -> None:
    """A callback that leaves a file where the job's description says."""
    Path(job.description).touch()


def kill_service(n: int, bad: int = 0, seconds: float = 0.0) -> int:
    """Takes its whole service down, as a kernel does that is out of memory; if ``n`` is bad."""
    if n != bad:
        time.sleep(seconds)
        return n
    service = psutil.Process()
    while "taskq: service" not in (title := " ".join(service.cmdline())) or "pool process" in title:
        above = service.parent()
        assert above is not None
        service = above
    os.kill(service.pid, signal.SIGKILL)
    time.sleep(1800)  # longer than any test; the end comes with the service's
    return n


def kill_parent(n: int, bad: int = 0, seconds: float = 0.0) -> int:
    """Takes down what its process was forked from, and with it all others that were; if ``n`` is bad."""
    if n == bad:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1800)
    time.sleep(seconds)
    return n


def kill_worker(n: int, bad: int = 0, seconds: float = 0.0) -> int:
    """Takes all of its worker down, as the end of its container does; if ``n`` is bad."""
    if n != bad:
        time.sleep(seconds)
        return n
    of_session = [one for one in psutil.process_iter() if os.getsid(one.pid) == os.getsid(0)]
    for process in sorted(of_session, key=lambda one: "taskq: manager" not in " ".join(one.cmdline())):
        if process.pid != os.getpid():
            process.kill()
    os.kill(os.getpid(), signal.SIGKILL)
    return n


def read_map(job: Any, connection: Any, *_args: Any) -> None:
    """A map's callback that reads the map, as it was given and as it is fetched; it says what it has read."""
    from taskq import Queue

    read = []
    for one in (job, Queue(job.origin, connection=connection).fetch_job(job.id)):
        try:
            read.append((one.ready(), one.successful(), sorted(one.result_list), one.get(errors="return")))
        except Exception as error:  # noqa: BLE001 - whichever it is, the test wants to know
            read.append((one.ready(), one.successful(), sorted(one.result_list), type(error).__name__))
    connection.set(f"test:callback:{job.id}", repr(read))


def read_map_as_fetched(job: Any, connection: Any, *_args: Any) -> None:
    """As ``read_map``, where the job itself is RQ's."""
    from taskq import Queue

    read_map(Queue(job.origin, connection=connection).fetch_job(job.id), connection)


def total_of_maps() -> list[int]:
    """A job that depends on maps."""
    from rq import get_current_job

    job: Any = get_current_job()
    return [sum(one.get()) for one in job.fetch_dependencies()] + [sum(job.dependency.get())]


def raise_it(error: Exception) -> None:
    raise error


def fail_once(flag: str) -> str:
    """Fails the first time."""
    path = Path(flag)
    if not path.exists():
        path.touch()
        raise OSError("not yet")
    return "done"


def fail_with_text(text: str) -> None:
    """Raise an error of this text, if there is one."""
    if text:
        raise ValueError(text)


def raise_with(size: int) -> None:
    """Raises an exception whose text has so many characters."""
    raise LookupError("x" * size)


def fail_slowly(n: int) -> None:
    time.sleep(0.01)
    raise ValueError(n)


class FlakyError(ConnectionError):
    """What a server says that is not there for a moment."""


def fail_times(ledger: str, n: int, times: int, error: type[BaseException] = FlakyError) -> int:
    """Fails so many times for each item; each try is a line in the ledger."""
    with Path(ledger).open("a", encoding="utf-8") as file:
        file.write(f"{n} {time.time()}\n")
    if sum(line.split()[0] == str(n) for line in Path(ledger).read_text(encoding="utf-8").splitlines()) <= times:
        raise error(f"item {n}")
    return n


def load_model(name: str) -> None:
    """An initializer, which counts how often it was called for this map in this process."""
    import taskq

    state = taskq.state()
    state["model"], state["calls"] = name, state.get("calls", 0) + 1


def ask_model(n: int) -> tuple[str, int, int]:
    """What an item finds, and in which process."""
    import taskq

    state = taskq.state()
    time.sleep(0.002)
    return state.get("model", ""), state.get("calls", 0), os.getpid()


def ask_memory(_n: int) -> list[int]:
    """How many dicts there are in this process, besides this map's."""
    from taskq_workers.process import process

    here: Any = process._remembered
    return [len(here._states), len(here._ready), len(here._maps)]


def fail_to_load(name: str) -> None:
    raise LookupError(f"no model {name}")


def die_loading(flag: str = "") -> None:
    """Kills its process; if there is a flag, only as long as that file is not there."""
    if flag and Path(flag).exists():
        return
    if flag:
        Path(flag).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def load_slowly(seconds: float) -> None:
    time.sleep(seconds)


class Holder:
    """Holds something."""

    def __init__(self, held: Any) -> None:
        self.held = held


_remembered: list[Any] = []


def keep(value: Any) -> None:
    _remembered[:] = [value]


def kept(_n: int = 0) -> Any:
    return _remembered[0] if _remembered else None


def sum_of_squares(count: int) -> int:
    """Submits to an executor of its own, on the server whose work it is, and waits for that."""
    from taskq import Executor, Queue

    with Executor(queue=Queue("executor")) as executor:
        return sum(executor.map(square, range(count)))


def note_in(shared: Any, n: int) -> int:
    """Append to a shared list, under its lock."""
    with shared["lock"]:
        shared["list"].append(n)
    return n


class LockedError(Exception):
    """Can't be pickled."""

    def __init__(self) -> None:
        super().__init__("has a lock")
        self.lock = threading.Lock()


def raise_with_a_lock() -> None:
    raise LockedError
