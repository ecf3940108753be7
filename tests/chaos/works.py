"""What the workers run in the chaos test. Each run of an item leaves a line in a ledger outside Redis.

The ledger is a folder with one file for each process, so a killed writer can't spoil another's lines. The line is
there before anything else happens to the item.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

_files: dict[tuple[str, int], int] = {}


def ledger_file(ledger: str) -> Path:
    return Path(ledger) / str(os.getpid())


def _note(ledger: str, job: str, n: int) -> None:
    key = ledger, os.getpid()
    if key not in _files:
        _files[key] = os.open(ledger_file(ledger), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(_files[key], f"{job} {n}\n".encode())


def answer(job: str, n: int) -> int:
    """What every item that succeeds returns, so that a result can't be taken for another's."""
    return int.from_bytes(hashlib.blake2b(f"{job} {n}".encode(), digest_size=6).digest(), "big")


class Stubborn(Exception):  # noqa: N818 - the type is what the audit looks for
    """Pickles, but can't be unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} {b}")


def tiny(ledger: str, job: str, n: int) -> int:
    _note(ledger, job, n)
    return answer(job, n)


def burn(ledger: str, job: str, n: int) -> int:
    """Some 10 ms of computing."""
    _note(ledger, job, n)
    data = b"x" * 65536
    for _ in range(120):
        data = hashlib.sha256(data).digest() * 2048
    return answer(job, n)


def nap(ledger: str, job: str, n: int) -> int:
    _note(ledger, job, n)
    time.sleep(0.02 + 0.02 * (n % 5))
    return answer(job, n)


def bulky(ledger: str, job: str, n: int) -> tuple[int, bytes]:
    """A result that fills any pipe, so that its writer can be killed in the middle."""
    _note(ledger, job, n)
    return answer(job, n), bytes([n % 256]) * 400_000


def failing(ledger: str, job: str, n: int) -> Any:
    """Fails in every way there is, see ``failure_of``."""
    _note(ledger, job, n)
    match failure_of("failing", n):
        case "ValueError":
            raise ValueError(n)
        case "SystemExit":
            sys.exit(n)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "tests.chaos.works.Stubborn":
            raise Stubborn(n, n)
        case "PickleError":
            return (i for i in range(n))
        case _:
            return answer(job, n)


def flaky(ledger: str, job: str, n: int) -> int:
    """Every third item fails the first time."""
    _note(ledger, job, n)
    flag = Path(ledger).parent / "flags" / f"{job}.{n}"
    if n % 3 == 0 and not flag.exists():
        flag.touch()
        raise ValueError(f"{n} for the first time")
    return answer(job, n)


def poison(ledger: str, job: str, n: int) -> int:
    """One item kills whatever runs it."""
    _note(ledger, job, n)
    if failure_of("poison", n):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(job, n)


def broken(ledger: str, job: str, n: int) -> NoReturn:
    """A plain job that fails."""
    _note(ledger, job, n)
    raise ValueError(n)


_FAILURES = {
    3: "ValueError",
    11: "SystemExit",
    17: "KeyboardInterrupt",
    23: "tests.chaos.works.Stubborn",
    29: "PickleError",
}


def failure_of(kind: str, n: int) -> str:
    """The type in the error record of an item that is bound to fail; "" if it has a result in the end."""
    if kind == "failing":
        return _FAILURES.get(n % 31, "")
    return "WorkerLostError" if kind == "poison" and n == 2 else ""


def value_of(kind: str, job: str, n: int) -> Any:
    """The result of an item that has one."""
    return (answer(job, n), bytes([n % 256]) * 400_000) if kind == "bulky" else answer(job, n)


def runs_needed(kind: str, n: int) -> int:
    """How often an item has to run, where nobody is killed; more are what chaos has cost."""
    if kind == "flaky" and n % 3 == 0:
        return 2
    return 3 if failure_of(kind, n) == "WorkerLostError" else 1
