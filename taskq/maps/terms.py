"""What a map was told beyond its items and limits: its terms, one field of its hash, signed with the announcement.

Most maps have none, and nobody reads, writes or signs anything for these.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from taskq.errors import DamagedError
from taskq.redis import checked

Orphan = Literal["finish", "cancel"]


@dataclass(frozen=True)
class Terms:
    """The terms of one map; each is as if it had not been named, unless it was.

    Args:
        orphan: What becomes of an open map whose producer is gone; "": it is no open map.
        buffersize: Items of an open map that may be unfinished; 0: any number.
    """

    orphan: str = ""
    buffersize: int = 0

    def to_json(self) -> str:
        """What the field of the hash says; "" if nothing was named."""
        named = {
            one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default
        }
        return json.dumps(named, allow_nan=False, sort_keys=True) if named else ""

    @property
    def named(self) -> dict[str, Any]:
        """Those that were named, for people and for JSON."""
        return dict(json.loads(self.to_json() or "{}"))


NONE = Terms()


def read(text: str) -> Terms:
    """The terms.

    Raises:
        DamagedError: If these are none.
    """
    if not text:
        return NONE
    try:
        named: dict[str, Any] = {**json.loads(text)}
        known = {name: named[name] for name in asdict(NONE) if name in named}
        kinds = {name: type(value) for name, value in asdict(NONE).items()}
        if all(type(value) is kinds[name] or _is_number(value, kinds[name]) for name, value in known.items()):
            return Terms(**known)
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"{text[:80]!r} are no terms of a map") from error
    raise DamagedError(f"{text[:80]!r} are no terms of a map")


def shown(text: bytes | None) -> dict[str, Any]:
    """Those that were named, by the field of a map's hash, for a view: nothing, if that holds something else."""
    try:
        return read(checked.text(text)).named
    except DamagedError:
        return {}


def _is_number(value: object, kind: type) -> bool:
    return kind is float and type(value) is int
