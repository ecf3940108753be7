"""Fuzz everything that reads bytes from Redis: ``make fuzz SECONDS=60`` (needs the extra ``taskq-pool[fuzz]``).

Guided by coverage, unlike the tests with hypothesis. It goes on until the time is over, or something is raised
that is no error of ours. What it reads is never unpickled: everything in this process is read with a key.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import atheris

os.environ["TASKQ_SECRET_KEY"] = "a key of at least thirty-two characters"  # noqa: S105 - of nothing

with atheris.instrument_imports(include=["taskq", "json"]):
    from taskq import TaskqError
    from taskq.maps import memo, terms
    from taskq.maps.body import Body, read_header
    from taskq.maps.info import read_info
    from taskq.payload import codec
    from taskq.payload.outcome import ItemFailure
    from taskq.payload.signing import Keyring
    from taskq.redis import services
    from taskq.redis.keys import MapKeys
    from taskq.redis.kinds import kind_of

_MEMO = memo.Memo("name", None, memo.Header("generation", "function", "code"))
_TARGETS = (
    lambda data: codec.at("chunk", "id").loads(data),
    lambda data: Body.read(MapKeys("id"), data),
    read_header,
    lambda data: bytes(read_header(data)),
    ItemFailure.from_json,
    services._read,
    lambda data: kind_of({b"taskq": data}),
    lambda data: read_info(dict(zip((fields := data.split(b"\0"))[::2], fields[1::2], strict=False))),
    lambda data: memo._read("name", data),
    lambda data: _MEMO.pickled("key", _MEMO.entry("key", data)),
    lambda data: terms.read(data.decode("utf-8", "replace")),
    lambda data: Keyring.parse(data.decode("utf-8", "replace")),
)


def read(data: bytes) -> None:
    if data:
        with suppress(TaskqError):
            _TARGETS[data[0] % len(_TARGETS)](data[1:])


def main() -> None:
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
