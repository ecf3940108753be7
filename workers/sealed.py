"""Pickles of the user's that pass through a service unopened.

A service must not unpickle what users wrote: that runs user code, and only pool processes do that. RQ's
``Job`` and ``Result`` unpickle and pickle on their way; with this serializer they carry the bytes along.
"""

from __future__ import annotations

from typing import Any

from taskq import codec


class Sealed:
    """Some pickle; it is true, and has no length, so that RQ saves it as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True


class SealedSerializer:
    """RQ's serializer interface: what was read is written back byte for byte."""

    @staticmethod
    def loads(data: bytes, /) -> Any:
        return Sealed(data)

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        return value.data if isinstance(value, Sealed) else codec.dumps(value)
