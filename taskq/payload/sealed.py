"""Pickles of the user's that pass through a service unopened.

A service must not unpickle what users wrote: that runs user code, and only pool processes do that. RQ's
``Job`` and ``Result`` unpickle and pickle on their way; with this serializer they carry the bytes along.
"""

from __future__ import annotations

from typing import Any

from rq.job import Retry

from taskq.payload import codec
from taskq.payload.signed_job import VALUE, JobSerializer


class Sealed:
    """Some pickle; it is true, and has no length, so that RQ saves it as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True


class SealedRetry(Retry):  # type: ignore[misc,unused-ignore]
    """The ``Retry`` that a job returned, with its pickle."""

    def __init__(self, asked: tuple[int, list[int], bool], data: bytes) -> None:
        super().__init__(max=asked[0], interval=asked[1], enqueue_at_front=asked[2])
        self.data = data


class SealedSerializer:
    """RQ's serializer interface: what was read is written back byte for byte."""

    @staticmethod
    def loads(data: bytes, /) -> Any:
        return Sealed(data)

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        return value.data if isinstance(value, (Sealed, SealedRetry)) else codec.dumps(value)


class SealedJobSerializer(SealedSerializer):
    """The same for a job that the service runs, some of whose return values are its own: they are signed.

    The summary of a map is one, and the ``Retry`` that a job returned.
    """

    def __init__(self, job_id: str) -> None:
        self._values = JobSerializer(codec, VALUE, job_id)

    def dumps(self, value: Any, /) -> bytes:  # type: ignore[override]  # RQ asks classes and objects alike
        return value.data if isinstance(value, (Sealed, SealedRetry)) else self._values.dumps(value)
