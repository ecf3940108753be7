"""What a map was told beyond its items and limits: its terms, one field of its hash, signed with the announcement.

Most maps have none, and nobody reads, writes or signs anything for these.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from taskq.errors import DamagedError
from taskq.maps.item_retry import Spell
from taskq.maps.source import ALL, Source
from taskq.payload.large import Told
from taskq.redis import checked

TOO_MANY = "too many items have failed"

_FEW = 20  # large objects that are named to people

Orphan = Literal["finish", "cancel"]
Results = Literal["keep", "discard"]


@dataclass(frozen=True)
class Terms:
    """The terms of one map; each is as if it had not been named, unless it was.

    Args:
        orphan: What becomes of an open map whose producer is gone; "": it is no open map.
        buffersize: Items of an open map that may be unfinished; 0: any number.
        max_failures: How many items may fail before the map does, or below 1 which share of them; -1: all.
        results: What becomes of them, one of ``Results``.
        first: How many results it wants; 0: all.
        initializer: Name of what each process calls first; "": nothing.
        code_digest: Of its function, if others may attach to it: see ``payload/code_hash.py``.
        items_digest: The same of its items: see ``maps/sameness.py``.
        memo: Name of the memo that gets its results; "": none.
        memo_generation: Of that: see ``maps/memo.py``.
        blobs: The large objects that its function and items refer to, each as ``large.Told`` writes it.
        item_retry: When an item that fails is tried again, as ``Spell.read`` reads it; "": it is not.
        speculate: Whether what runs long may run a second time beside the first: see ``lua/stragglers.lua``.
        source: The map whose results its items are, as ``Source.read`` reads it; "": it has items of its own.
        together: How many of these results are one item; 0: each is one.
        initargs: How many arguments the initializer gets.
        key: Name of the function that gives an item's key in the memo; "": the item itself is.
        memo_ttl: Seconds for which a result in the memo counts, -1: for ever; 0: as it is without being named.
        memo_changed: What becomes of a memo whose function has changed, as it was named; "": it was not.
        if_exists: What was to become of another map with its id; "": an error.
        runs: Name of the secret key that signs what has run, where results are not kept: see ``payload/tally.py``.
    """

    orphan: str = ""
    buffersize: int = 0
    max_failures: float = -1.0
    results: str = "keep"
    first: int = 0
    initializer: str = ""
    code_digest: str = ""
    items_digest: str = ""
    memo: str = ""
    memo_generation: str = ""
    blobs: str = ""
    item_retry: str = ""
    speculate: bool = False
    source: str = ""
    together: int = 0
    initargs: int = 0
    key: str = ""
    memo_ttl: float = 0.0
    memo_changed: str = ""
    if_exists: str = ""
    runs: str = ""

    def to_json(self) -> str:
        """What the field of the hash says; "" if nothing was named."""
        named = {
            one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default
        }
        return json.dumps(named, allow_nan=False, sort_keys=True) if named else ""

    def too_many(self, failed: int, total: int) -> str:
        """Why the map is to fail now, since so many items have; "" if it goes on.

        Args:
            failed: Items.
            total: Of all items; ``UNSEALED``: not known yet, and then no share of them is either.
        """
        if failed <= self.bearable(total):
            return ""
        most = self.max_failures
        what = f"{most:.3g} of all items" if 0 < most < 1 else f"{most:g}"
        return f"{TOO_MANY}: {failed}, and max_failures is {what}"

    def bearable(self, total: int) -> float:
        """How many items may fail before the map does; ``total`` as for ``too_many``."""
        most = self.max_failures
        if most < 0:
            return math.inf
        return most * total if 0 < most < 1 else most

    @cached_property
    def spell(self) -> Spell | None:
        """What ``item_retry`` says."""
        return Spell.read(self.item_retry) if self.item_retry else None

    @cached_property
    def follows(self) -> Source | None:
        """What ``source`` and ``together`` say."""
        return Source.read(self.source, self.together) if self.source else None

    @property
    def retries(self) -> int:
        """How often an item that fails is tried again."""
        return self.spell.max if self.spell else 0

    def enough(self, done: int) -> bool:
        """Whether it has as many results as it wants, and wants no more."""
        return 0 < self.first <= done

    @property
    def large(self) -> list[Told]:
        """The large objects.

        Raises:
            DamagedError: If one is named as none is.
        """
        return [Told.read(one) for one in self.blobs.split()]

    @property
    def discards(self) -> bool:
        """Whether results are counted and not kept."""
        return self.results == "discard"

    @property
    def wanted(self) -> Terms:
        """Those by which two maps are told apart: neither digests, nor what was said to the push alone."""
        return replace(
            self, code_digest="", items_digest="", memo_generation="", blobs="", runs="", key="", memo_ttl=0.0,
            memo_changed="", if_exists="",
        )  # fmt: skip

    @property
    def named(self) -> dict[str, Any]:
        """Those that were named, for people and for JSON."""
        named: dict[str, Any] = json.loads(self.to_json() or "{}")
        if "blobs" in named:
            named["blobs"] = [f"{one.digest[:12]}, {one.size:,} bytes" for one in self.large[:_FEW]]
            named["blobs"] += [f"and {len(self.large) - _FEW:,} more"] * (len(self.large) > _FEW)
        if self.follows:
            named["source"] = self.follows.id
            if self.together == ALL:
                named["together"] = "all"
        return named


NONE = Terms()
RESULTS = ("keep", "discard")
_OURS = frozenset({"code_digest", "items_digest", "memo_generation", "runs"})  # no user has named these


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
        right = (type(value) is kinds[name] or _is_number(value, kinds[name]) for name, value in known.items())
        if all(right) and all(map(_is_finite, known.values())) and known.get("results", "keep") in RESULTS:
            terms = Terms(**known)
            _ = terms.large, terms.spell, terms.follows  # that these are none is found here, too
            return terms
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"{text[:80]!r} are no terms of a map") from error
    raise DamagedError(f"{text[:80]!r} are no terms of a map")


def shown(text: bytes | None, memo_hits: bytes | None = None, copied: bytes | None = None) -> dict[str, Any]:
    """Those that a user named, by the field of a map's hash, for a view: nothing, if that holds something else.

    Args:
        text: The field.
        memo_hits: Another field: how many results were in the memo; it is named if there is a memo.
        copied: Another one: how many chunks have run a second time; it is named if they may.
    """
    try:
        told = of_users(read(checked.text(text, checked.RECORD)))
    except DamagedError:
        return {}
    told |= {"memo_hits": checked.count(memo_hits)} if "memo" in told else {}
    return told | ({"copied": checked.count(copied)} if "speculate" in told else {})


def of_users(terms: Terms) -> dict[str, Any]:
    """Those that a user named."""
    return {name: value for name, value in terms.named.items() if name not in _OURS}


def _is_number(value: object, kind: type) -> bool:
    return kind is float and type(value) is int


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
