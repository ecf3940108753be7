"""Bytes of a value that are the same in each run of a program: for digests, and for keys.

An ordinary pickle says where one object stands in two places, and gives sets in an order that changes from run to
run. So two values that are equal may have different pickles. Here each object is written out, and sets are sorted.
The order of a dict's keys counts. Of what was shared (``taskq.share``) its content does, whoever has shared it.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from taskq.payload import codec, large

PROTOCOL = 5

_ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes])
_ROWS = frozenset([tuple, list])
_DEEPEST = 20  # levels of lists, tuples and dicts; deeper, or cyclic, is not plain
SETS = frozenset([set, frozenset])


def is_plain(value: Any, levels: int = _DEEPEST) -> bool:
    """Whether it is plain data: numbers, texts, bytes, None, and lists, tuples and dicts of these."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if not levels:
        return False
    if kind in _ROWS:
        return all(is_plain(one, levels - 1) for one in value)
    return kind is dict and all(is_plain(one, levels - 1) for pair in value.items() for one in pair)


def dumps(value: Any, what: str = "value") -> bytes:
    """The canonical pickle. Of plain data it depends on the value alone; of anything else it is as good as can be.

    Args:
        value: Anything.
        what: What to call it in the error, e.g. ``"item 7"``.

    Raises:
        PickleError: If it can't be pickled.
    """
    if type(value) in _ATOMS:
        return pickle.dumps(value, PROTOCOL)
    try:
        return exactly(value)
    except Exception:  # noqa: BLE001 - cyclic data, code by value, and whatever user code raises
        with large.comparing():
            return codec.dumps(value, what)


def exactly(value: Any) -> bytes:
    """The same; raises whatever pickle does, also of what is cyclic, or could only be sent by value."""
    with io.BytesIO() as file:
        pickler = Pickler(file, PROTOCOL) if not is_plain(value) else pickle.Pickler(file, PROTOCOL)
        pickler.fast = True  # each object is written out, wherever it stands
        pickler.dump(value)
        return file.getvalue()


class Pickler(pickle.Pickler):
    """Sorts sets, and has shared objects count by their content."""

    def dump(self, value: Any, /) -> None:
        """As pickle's."""
        with large.comparing():
            super().dump(value)

    def persistent_id(self, obj: Any) -> Any:
        """What is written in place of a set: its elements, sorted."""
        return ("set", type(obj).__name__, sorted(map(exactly, obj))) if type(obj) in SETS else None
