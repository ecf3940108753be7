"""Hooks, and an app, as users have them: each writes to a list in Redis what it sees."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rq.job import Job
from rq.timeouts import JobTimeoutException

from taskq.redis import connection
from tests.waiting import HANGS

NOTES = "test:hooks"

_inside: list[str] = []  # what is open in this process
_session: list[int] = []  # of whoever has run here


def note(text: str) -> None:
    connection.shared().rpush(NOTES, text)


def before(job: Job) -> None:
    note(f"before {job.id}")


def after(job: Job) -> None:
    note(f"after {job.id}")


class Session:
    """As SQLAlchemy's scoped one: somebody has to remove it."""

    def remove(self) -> None:
        _session.clear()


session = Session()


def use_session(n: int) -> int:
    """How many have used this session, which should be the first."""
    _session.append(n)
    return len(_session)


def raises(job: Job) -> None:
    raise LookupError(f"not {job.id}")


def ends_process(_job: Job) -> None:
    raise SystemExit(3)


def hangs() -> None:
    try:
        time.sleep(HANGS)
    except JobTimeoutException:
        note("over")
        raise


class App:
    """As Flask's."""

    @contextmanager
    def app_context(self) -> Iterator[None]:
        _inside.append("app")
        try:
            yield
        except BaseException as error:
            note(f"teardown hears {error!r}")
            raise
        finally:
            _inside.pop()


def create_app() -> App:
    return App()


def create_nothing() -> None:
    raise RuntimeError("no database")


def inside(_n: int = 0) -> list[str]:
    return list(_inside)


def fail_inside(*_args: object) -> None:
    raise LookupError(f"inside {_inside}")


async def fail_later(_n: int) -> None:
    fail_inside()


def sleep_inside(_n: int) -> None:
    fail_inside() if not _inside else time.sleep(HANGS)


def note_inside(job: Job, *_args: object) -> None:
    note(f"callback inside {_inside} of {job.id}")
