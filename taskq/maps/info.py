"""What a map's hash in Redis says, checked: it may hold anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskq.errors import DamagedError, SignatureError
from taskq.maps import caps
from taskq.maps.caps import NONE as UNCAPPED
from taskq.maps.caps import Caps
from taskq.maps.terms import NONE, Terms
from taskq.maps.terms import read as read_terms
from taskq.payload import codec, signing
from taskq.payload.ranges import COUNTABLE
from taskq.redis import checked
from taskq.redis.keys import UNSEALED, MapField

LIGHTEST, HEAVIEST = 0.001, 1000.0  # weights of maps


@dataclass(frozen=True)
class MapInfo:
    """What the map's hash says."""

    name: str
    star: bool
    total: int  # ``UNSEALED`` as long as items may come
    done: int
    failed: int
    limit: int
    state: str
    reason: str
    started: float  # Unix time; 0.0: not yet
    ended: float = 0.0
    item_timeout: float = 0.0  # seconds; 0.0: none
    adapt: bool = False
    kill: bool = False
    trace: str = ""  # context of the producer's span
    span: str = ""  # of the job's
    incarnation: str = ""
    weight: float = 1.0  # beside those of other maps of its queue
    first: int | None = None  # the lowest index of an item that failed
    seal: bytes = field(default=b"", repr=False)
    written: int = 0  # items, so far
    terms: Terms = NONE
    lease: float = 0.0  # of the producer of an open map: Unix time
    fed: bool = False  # it has a producer who may add items
    paused: bool = False
    memo_hits: int = 0  # items whose results were in its memo
    orphaned: bool = False  # it was sealed since its producer was gone
    caps: Caps = UNCAPPED
    pushed_caps: Caps = UNCAPPED  # those that it was pushed with
    caps_seal: bytes = field(default=b"", repr=False)
    put_seal: bytes = field(default=b"", repr=False)
    retries: bool = False  # the server keeps items that are to be tried again, as the terms say
    speculates: bool = False  # and has ranges run twice
    ran: str = ""  # the sum of what has run: see payload/tally.py
    over: str = ""  # of a map that has a source: why no more is taken of it
    passed: int = 0  # of such a map: items that have failed since their source has no result for them
    followers: str = ""  # the maps whose source it is: see source.py

    @property
    def announced(self) -> bool:
        """Whether it was wholly written."""
        return self.state in ("open", "closed")

    @property
    def announcement(self) -> bytes:
        """What the producer has said of it, and nobody may change."""
        told = [self.incarnation, self.total, self.star, self.limit, self.item_timeout, self.adapt]
        if named := self.terms.to_json():
            told.append(named)
        if beside := self._announced_beside:
            told.append(beside)
        return json.dumps(told, allow_nan=False).encode()

    @property
    def _announced_beside(self) -> dict[str, Any]:
        """What is announced in fields of its own, where it is not as of most maps."""
        beside: dict[str, Any] = {**self.pushed_caps.named}
        if self.weight != 1:
            beside["weight"] = self.weight
        if self.sealed and self.orphaned:  # so that who has not sealed it can't be said to have
            beside["orphaned"] = True
        return beside

    @property
    def taken(self) -> int:
        """How many items it has of its source by now, failed ones among them."""
        return self.written + self.passed

    @property
    def missing(self) -> int:
        """How many items there are by now that have no end yet."""
        there = min(self.taken, self.total) if self.terms.source else self.items
        return there - self.done - self.failed

    @property
    def sealed(self) -> bool:
        """Whether it can't get any more items."""
        return self.total != UNSEALED

    @property
    def items(self) -> int:
        """How many items it has; of an open map, so far."""
        return self.total if self.sealed else self.written

    @property
    def items_text(self) -> str:
        """The same for people: of an open map with a plus."""
        return f"{self.items}{'' if self.sealed else '+'}"

    @property
    def complete(self) -> bool:
        return self.done + self.failed >= self.total or self.enough

    @property
    def enough(self) -> bool:
        """Whether it has all results that it wants, though there may be more items."""
        return self.terms.enough(self.done)


def read_info(fields: Mapping[bytes, bytes]) -> MapInfo:
    """What the fields of the hash say.

    Raises:
        DamagedError: If a number is none.
    """
    try:
        return _read(fields)
    except ValueError as error:
        raise DamagedError(f"the map's hash holds what taskq does not write there: {error}") from error


def _seconds(text: str) -> float:
    value = float(text or 0.0)
    if not 0 <= value <= checked.LATEST:
        raise ValueError(f"{text:.100} is no number of seconds")
    return value


def _weight(text: str) -> float:
    value = float(text or 1.0)
    if not LIGHTEST <= value <= HEAVIEST:
        raise ValueError(f"{text:.100} is no weight")
    return value


def _read(fields: Mapping[bytes, bytes]) -> MapInfo:
    def number(field: str) -> int:
        value = int(fields.get(field.encode(), 0))
        if not 0 <= value < COUNTABLE:
            raise ValueError(f"{field} is {value}")
        return value

    def text(field: str) -> str:
        return fields.get(field.encode(), b"").decode("utf-8", "replace")

    now = caps.read(text(MapField.MAX_RUNNING), text(MapField.RATE))
    pushed = text(MapField.PUSHED_CAPS)
    return MapInfo(
        name=text(MapField.NAME),
        star=text(MapField.STAR) == "1",
        total=number(MapField.TOTAL),
        done=number(MapField.DONE),
        failed=number(MapField.FAILED),
        limit=number(MapField.LIMIT),
        state=text(MapField.STATE),
        reason=text(MapField.REASON),
        started=_seconds(text(MapField.STARTED)),
        ended=_seconds(text(MapField.ENDED)),
        item_timeout=_seconds(text(MapField.ITEM_TIMEOUT)),
        adapt=text(MapField.ADAPT) == "1",
        kill=text(MapField.KILL) == "1",
        paused=MapField.PAUSED.encode() in fields,
        trace=text(MapField.TRACE),
        span=text(MapField.SPAN),
        incarnation=text(MapField.INCARNATION),
        weight=_weight(text(MapField.WEIGHT)),
        first=number(MapField.FIRST) if MapField.FIRST.encode() in fields else None,
        seal=fields.get(MapField.SEAL.encode(), b""),
        written=number(MapField.NEXT),
        terms=read_terms(text(MapField.TERMS)),
        lease=_seconds(text(MapField.LEASE)),
        orphaned=text(MapField.ORPHANED) == "1",
        memo_hits=number(MapField.MEMO_HITS),
        fed=MapField.LEASE.encode() in fields,
        caps=now,
        pushed_caps=caps.of_text(pushed) if pushed else now,
        caps_seal=fields.get(MapField.CAPS_SEAL.encode(), b""),
        put_seal=fields.get(MapField.PUT_SEAL.encode(), b""),
        ran=text(MapField.RAN),
        retries=MapField.RETRIES.encode() in fields,
        speculates=MapField.SPECULATE.encode() in fields,
        over=text(MapField.OVER),
        passed=number(MapField.PASSED),
        followers=text(MapField.FOLLOWERS),
    )


def seal_codec(job_id: str) -> codec.Codec:
    """For the signature over what a producer has announced."""
    return codec.at("announcement", job_id)


def check_announcement(job_id: str, info: MapInfo) -> None:
    """Refuse a map about which somebody else has told something else than its producer.

    Raises:
        SignatureError: If there is a secret key, and what its hash says is not signed.
        DamagedError: If it is signed, and says something else now; or if it will never be sealed.
    """
    if info.announced and not (info.sealed or info.fed or info.orphaned):
        raise DamagedError(f"the map {job_id} is not sealed, and has no producer: {MapField.LEASE} was deleted")
    if not signing.keyring() or not info.announced:
        return
    if seal_codec(job_id).open(info.seal) != info.announcement:
        raise DamagedError(
            f"the map {job_id} was changed since it was pushed: its hash says {info.announcement!r}"
        )
    if (info.retries, info.speculates) != (bool(info.terms.item_retry), info.terms.speculate):
        raise DamagedError(
            f"the map {job_id} was changed since it was pushed: {MapField.RETRIES} and {MapField.SPECULATE} are "
            "not what its terms say"
        )
    if info.caps != info.pushed_caps:
        signed = caps.signed(info.incarnation, info.caps)
        if caps.seal_codec(job_id).open(info.caps_seal) != signed:
            raise DamagedError(f"the limits of the map {job_id} were changed: its hash says {info.caps.named}")


def signed_put(job_id: str, incarnation: str, items: int) -> bytes:
    """The signature over how many items the producer of an open map has put; b"" without a secret key."""
    if not signing.keyring():
        return b""
    return _put_codec(job_id).close(f"{incarnation} {items}".encode())


def _put_codec(job_id: str) -> codec.Codec:
    return codec.at("number of items", job_id)


def check_put(job_id: str, info: MapInfo) -> None:
    """Refuse a number of items which the producer of an open map has not put; for who seals it, or feeds it on.

    Raises:
        SignatureError, DamagedError: If there is a secret key, and it is not signed; or if there is none here, and
            the map is signed.
    """
    if not signing.keyring():
        if info.seal.startswith(signing.MAGIC):
            raise SignatureError(f"the map {job_id} is signed, and {signing.VARIABLE} is not set here")
        return
    if _put_codec(job_id).open(info.put_seal) != f"{info.incarnation} {info.written}".encode():
        raise DamagedError(
            f"the map {job_id} has {info.written} items, and its producer has put another number of them: "
            f"{MapField.NEXT} was changed"
        )
