"""A plain job of which no more has been read than running it needs.

To read all of its hash takes RQ longer than a no-op job runs, and most functions never ask for the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Self

from rq.job import UNEVALUATED

from taskq.payload import signing
from taskq.payload.signed_job import SignedJob, is_date
from taskq.redis import connection

_NOTHING = object()


def _refuse(value: bytes) -> None:
    raise ValueError(value)


def _date(value: bytes) -> None:
    if not is_date(value):
        raise ValueError(value)
    datetime.fromisoformat(value.decode())


_FIELDS: dict[bytes, Callable[[bytes], object] | None] = {
    b"data": None, b"status": None, b"meta": None, b"timeout": int, b"result_ttl": int, b"failure_ttl": int,
    b"created_at": _date, b"enqueued_at": _date, b"started_at": _date, b"ended_at": _date,
    b"last_heartbeat": _date, b"origin": bytes.decode, b"description": bytes.decode, b"worker_name": bytes.decode,
    b"group_id": bytes.decode, b"success_callback_name": _refuse, b"failure_callback_name": _refuse,
    b"stopped_callback_name": _refuse,
}  # fmt: skip
"""What a simple job may have; of what is not empty, that RQ will be able to read it."""


class LateJob(SignedJob):
    """What user code sees as the current job, until it asks for more: then it becomes a ``SignedJob``.

    RQ's own code restores it then; what was set before stays.
    """

    @classmethod
    def of(cls, job_id: str, fields: Mapping[bytes, bytes], serializer: Any, worker: str) -> Self | None:
        """The job; None if it is not as simple as that, or damaged, or to be checked: then RQ reads all of it."""
        data = fields.get(b"data")
        if data is None or signing.keyring() or not _is_simple(fields):
            return None
        with suppress(zlib.error):  # as in RQ: they may be as they are
            data = zlib.decompress(data)
        job = cls.__new__(cls)
        own = {
            "_id": job_id, "connection": connection.shared(), "_inner": serializer, "worker_name": worker,
            "timeout": int(timeout) if (timeout := fields.get(b"timeout")) else None,
            "_data": data, "_func_name": UNEVALUATED, "_instance": UNEVALUATED, "_args": UNEVALUATED,
            "_kwargs": UNEVALUATED, "_success_callback_name": None, "_success_callback": UNEVALUATED,
        }  # fmt: skip
        vars(job).update(own, _first=own, _fields=fields)
        return job

    def unchanged(self, names: frozenset[str]) -> bool:
        """Whether none of these attributes was set since."""
        own, first = vars(self), self._first
        return all(own[name] is first.get(name, _NOTHING) for name in names.intersection(own))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            LateJob._become_whole(self)  # it may be one already: other threads ask, too
        return object.__getattribute__(self, name)

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """As RQ's."""
        LateJob._become_whole(self)
        SignedJob.restore(self, raw_data)

    def _become_whole(self) -> None:
        """In place, and so that any number of threads may be at it: who comes second changes nothing.

        An alarm may end it anywhere; then it is late as before.
        """
        own = vars(self)
        fields = own.get("_fields")
        if fields is None:
            return
        whole = SignedJob(own["_id"], connection=own["connection"])
        whole.serializer = own["_inner"]
        whole.restore(fields)
        for name, value in vars(whole).items():
            own.setdefault(name, value)
        self.__class__ = SignedJob  # type: ignore[assignment]
        own.pop("_fields", None)
        own.pop("_first", None)


def _is_simple(fields: Mapping[bytes, bytes]) -> bool:
    try:
        for name, value in fields.items():
            if value and (check := _FIELDS[name]) is not None:
                check(value)
    except (KeyError, ValueError):
        return False
    return True
