"""A plain job of which no more has been read than running it needs.

To read all of its hash takes RQ longer than a no-op job runs, and most functions never ask for the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Self

from rq.job import UNEVALUATED

from taskq import connection, signing
from taskq.signed_job import SignedJob

_NOTHING = object()


def _refuse(value: bytes) -> None:
    raise ValueError(value)


def _date(value: bytes) -> None:
    datetime.fromisoformat(value.decode())


_FIELDS: dict[bytes, Callable[[bytes], object]] = {
    b"data": len, b"status": len, b"meta": len, b"timeout": int, b"result_ttl": int, b"failure_ttl": int,
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

    def unchanged(self, names: Iterable[str]) -> bool:
        """Whether none of these attributes was set since."""
        own, first = vars(self), self._first
        return all(own.get(name, _NOTHING) is first.get(name, _NOTHING) for name in names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_fields" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._become_whole()
        return getattr(self, name)

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """As RQ's."""
        self._become_whole()
        self.restore(raw_data)

    def _become_whole(self) -> None:
        own = vars(self).copy()
        fields = own.pop("_fields")
        whole = SignedJob(own["_id"], connection=own["connection"])
        whole.serializer = own["_inner"]
        whole.restore(fields)
        del own["_first"]
        self.__dict__ = vars(whole) | own  # at once: other threads may look at it
        self.__class__ = SignedJob  # type: ignore[assignment]


def _is_simple(fields: Mapping[bytes, bytes]) -> bool:
    try:
        for name, value in fields.items():
            if value:
                _FIELDS[name](value)
    except (KeyError, ValueError):
        return False
    return True
