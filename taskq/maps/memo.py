"""The memo: results that outlive their map, each under a key of the user's, for maps of the same function.

    taskq:memo:{name}                header: generation, function, digest of its code; entries: the other key; ttl;
                                     pushes: how many have used it
    taskq:memo:{name}:{generation}   key -> "stored map incarnation item signature", a line of its own, and behind
                                     it the element of that map's result list, as it stands there

A push looks for the keys of its items. What is found is copied into the new map's result list, and the rest is
run; the commit that stores a result in its map puts it into the memo, too, in the same step. To forget is to begin
another generation: a map that was told of the one before stores nothing more there.

With a secret key nobody can move a result to another key. The element is signed by the process that ran the item,
for that very map and item; and the producer has signed, for memo, generation and key, of which map and item it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError

from taskq.errors import DamagedError, OptionError, SignatureError
from taskq.payload import codec, results, signing
from taskq.redis import checked, keys
from taskq.redis.lua import Scripts

TTL = 30 * 24 * 3600  # seconds for which a result counts, if the user says nothing
BEYOND = 7 * 24 * 3600
"""Seconds for which a memo is kept beyond that, after the last push or commit: a map may run for long."""

CHANGED = ("", "keep", "forget")
_TRIES = 20  # to say what a memo is of, while others do, too
_NOT_SIGNED = b"-"
_BATCH = 3 << 20  # bytes of results that are read in one round trip
_HERE = ".".join(platform.python_version_tuple()[:2])


@dataclass(frozen=True)
class Header:
    """What a memo is of.

    Args:
        generation: Of what it holds; another one is drawn whenever it forgets.
        function: Name.
        code: Its digest: see ``payload/code_hash.py``.
        python: Of the producer, such as "3.12": byte code is another in each.
    """

    generation: str
    function: str
    code: str
    python: str = _HERE

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Entry:
    """One result in a memo.

    Args:
        stored: Unix time.
        map_id: The map whose item it was.
        incarnation: Of that map.
        index: Of the item there.
        signature: That it belongs to its key.
        element: Of that map's result list.
    """

    stored: float
    map_id: str
    incarnation: str
    index: int
    signature: bytes
    element: bytes

    @property
    def place(self) -> tuple[str, str]:
        return keys.MapKeys(self.map_id).results, self.incarnation


class Memo:
    """One generation of a memo.

    Args:
        name: The memo's.
        connection: Anything redis-py compatible.
        header: What it is of.
        undo: Of what was said of it to open it; None: nothing has changed by that.
    """

    def __init__(self, name: str, connection: Any, header: Header, undo: Undo | None = None) -> None:
        self.name, self.header = name, header
        self._undo = undo
        self._connection = connection
        self.key = keys.memo_entries(name, header.generation)
        self._signs = codec.at("memo entry", name, header.generation)

    # -- for who pushes ----------------------------------------------------------------------------------

    @contextmanager
    def pushed(self) -> Iterator[None]:
        """For the length of a push: if that raises, the memo is what it was before it was opened."""
        undo, self._undo = self._undo, None
        try:
            yield
        except BaseException:
            if undo:
                with suppress(RedisError):  # what is there is what was asked for, and all that can be said now
                    undo()
            raise
        if undo:
            with suppress(RedisError):  # the map is pushed, and what was before expires by itself
                undo.settle()

    def signature(self, map_id: str, incarnation: str, index: int, key: str) -> bytes:
        """What is to stand with the result of an item, and shows that it belongs to its key."""
        if not signing.keyring():
            return _NOT_SIGNED
        told = _told(map_id, incarnation, index, key)
        return base64.b64encode(self._signs.close(told)[: -len(told)])

    def find(self, wanted: Sequence[str], ttl: float) -> Iterator[bytes | None]:
        """The pickled results under these keys, in order; None where there is none that counts.

        Args:
            wanted: The keys.
            ttl: Seconds for which a result counts; -1: for ever.

        Raises:
            SignatureError: If there is a secret key, and one is not signed for its key.
            DamagedError: If one is no entry of a memo.
        """
        script, at = Scripts(self._connection).memo_find, 0
        named = [key.encode() for key in wanted]
        while at < len(wanted):
            now, *found = script([self.key], [_BATCH, *named[at:]])
            oldest = float(now) - ttl if ttl >= 0 else 0.0
            for key, data in zip(wanted[at:], found, strict=False):
                entry = self.entry(key, data) if data else None
                yield self.pickled(key, entry) if entry and entry.stored > oldest else None
            at += len(found)

    def entry(self, key: str, data: bytes) -> Entry:
        """What stands under a key.

        Raises:
            DamagedError: If it is no entry of a memo.
        """
        head, _, element = data.partition(b"\n")
        try:
            stored, map_id, incarnation, index, signature = head.split(b" ")
            return Entry(float(stored), map_id.decode(), incarnation.decode(), int(index), signature, element)
        except ValueError as error:
            raise DamagedError(f"the memo {self.name} holds under {key!r:.80} what is no result") from error

    def pickled(self, key: str, entry: Entry) -> bytes:
        """The pickled result of an entry.

        Raises:
            SignatureError: If there is a secret key, and it is not signed for this memo and key.
            DamagedError: If its signature is none.
        """
        if signing.keyring():
            told = _told(entry.map_id, entry.incarnation, entry.index, key)
            try:
                head = b"" if entry.signature == _NOT_SIGNED else base64.b64decode(entry.signature, validate=True)
            except binascii.Error as error:
                raise DamagedError(f"the memo {self.name} holds under {key!r:.80} what is no signature") from error
            self._signs.open(head + told)
        elif entry.element.startswith(signing.MAGIC):
            raise SignatureError(f"the memo {self.name} is signed, and {signing.VARIABLE} is not set here")
        return results.opened(entry.place, entry.index, entry.element)

    def map_of(self, items_digest: str) -> str:
        """Id of the map that was pushed with these items last, as is said here; "": none."""
        found = self._connection.hget(keys.memo_maps(self.name), items_digest)
        return checked.text(found)

    def note_map(self, items_digest: str, map_id: str, ttl: float) -> None:
        """Note that this map is about to be announced with these items."""
        name = keys.memo_maps(self.name)
        with self._connection.pipeline() as pipe:
            pipe.hset(name, items_digest, map_id)
            pipe.persist(name) if ttl < 0 else pipe.expire(name, math.ceil(ttl) + BEYOND)
            pipe.execute()

    # -- for who looks -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._connection.hlen(self.key))

    def each(self) -> Iterator[tuple[str, Entry]]:
        """Key and entry of all it holds, in no order; a batch of them is in memory at a time."""
        for key, data in self._connection.hscan_iter(self.key, count=100):
            name = key.decode("utf-8", "replace")
            yield name, self.entry(name, data)

    def get(self, key: str) -> Entry | None:
        """What stands under a key; None if nothing does."""
        data = self._connection.hget(self.key, key.encode())
        return None if data is None else self.entry(key, data)

    def remove(self, wanted: Iterable[str]) -> int:
        """Forget these keys; returns how many there were."""
        named = [key.encode() for key in wanted]
        return int(self._connection.hdel(self.key, *named)) if named else 0


@dataclass(frozen=True)
class Undo:
    """Takes back what was said of a memo: see memo_undo.lua.

    Args:
        connection: The memo's.
        names: The keys.
        args: Of the script.
    """

    connection: Any
    names: list[str]
    args: list[Any]

    def __call__(self) -> None:
        Scripts(self.connection).memo_undo(self.names, self.args)

    def settle(self) -> None:
        """It is not taken back: what the generation before held is gone for good."""
        _memo, own, _register, before = self.names
        if before != own:
            self.connection.unlink(before)


def opened(name: str, connection: Any, function: str, code: str, changed: str, ttl: float) -> Memo:
    """The memo for a map of this function; it is made if it is not there.

    Args:
        name: The memo's.
        connection: Anything redis-py compatible.
        function: Name of the function.
        code: Digest of its code.
        changed: What becomes of a memo of another function or code: "keep" or "forget" what it holds; "": it is an
            error.
        ttl: Seconds for which a result counts, -1: for ever.

    Raises:
        OptionError: If it is of another function or code, and nothing was said about that.
        SignatureError: If there is a secret key, and its header is not signed.
        DamagedError: If it has none.
    """
    scripts = Scripts(connection)
    for _ in range(_TRIES):
        raw = connection.hget(keys.memo(name), "header") or b""
        known = _read(name, raw) if raw else None
        header = _header(name, known, Header(os.urandom(16).hex(), function, code), changed)
        own = keys.memo_entries(name, header.generation)
        before = keys.memo_entries(name, known.generation) if known else own
        data = raw if header == known else codec.at("memo", name).close(header.to_json())
        names = [keys.memo(name), own, keys.MEMOS, before]
        if said := scripts.memo(names, [name, raw, data, ttl, BEYOND, keys.WRITING_TTL]):
            undo = Undo(connection, names, [name, data, raw, *said, BEYOND]) if data != raw else None
            return Memo(name, connection, header, undo)
    raise OptionError(f"others say again and again what the memo {name} is of: maps of how many functions use it?")


def _header(name: str, known: Header | None, own: Header, changed: str) -> Header:
    if known is None:
        return own
    if (known.function, known.code) == (own.function, own.code):
        return known
    if changed == "forget":
        return own
    if changed == "keep":
        return Header(known.generation, own.function, own.code)
    what = f"of the function {known.function}, and not of {own.function}"
    if known.function == own.function:
        what = f"of another version of {own.function}: its code has changed, or its data, or its initializer"
        if known.python != own.python:
            what = (
                f"of {own.function} in Python {known.python}, whose byte code is another than that of {own.python}"
            )
    raise OptionError(
        f'the memo {name} is {what}. If its results are right all the same: memo_changed="keep"; if they are not: '
        'memo_changed="forget" runs all anew; or use another name for the memo'
    )


def _read(name: str, data: bytes) -> Header:
    """The header.

    Raises:
        SignatureError: If there is a secret key, and it is not signed.
        DamagedError: If it is none.
    """
    try:
        header = Header(**json.loads(codec.at("memo", name).open(data)))
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"the memo {name} has no header that can be read: `taskq memo rm {name}`") from error
    if not all(isinstance(part, str) for part in asdict(header).values()) or not header.generation.isalnum():
        raise DamagedError(f"the memo {name} has no header that can be read: `taskq memo rm {name}`")
    return header


def _told(map_id: str, incarnation: str, index: int, key: str) -> bytes:
    return json.dumps([map_id, incarnation, index, key]).encode()


# -- all there are -----------------------------------------------------------------------------------------


def names(connection: Any) -> list[str]:
    """The names of all memos, the one that was used last first; strikes those off that have expired."""
    found = [name.decode("utf-8", "replace") for name in connection.zrevrange(keys.MEMOS, 0, -1)]
    there = []
    for at in range(0, len(found), 1000):
        some = found[at : at + 1000]
        with connection.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.exists(keys.memo(name))
            exists = pipe.execute()
        there += [name for name, is_there in zip(some, exists, strict=True) if is_there]
    if gone := sorted({*found} - {*there}):
        Scripts(connection).memos([keys.MEMOS, *map(keys.memo, gone)], gone)
    return there


def find(name: str, connection: Any) -> Memo | None:
    """The memo of this name; None if there is none.

    Raises:
        As ``opened``.
    """
    raw = connection.hget(keys.memo(name), "header")
    return None if raw is None else Memo(name, connection, _read(name, raw))


def remove(name: str, connection: Any) -> bool:
    """Remove a memo with all it holds, whatever stands there; whether there was one."""
    is_memo = connection.type(keys.memo(name)) == b"hash"
    entries = (connection.hget(keys.memo(name), "entries") or b"") if is_memo else b""
    held = [entries] if entries.startswith(keys.memo_entries(name, "").encode()) else []
    with connection.pipeline() as pipe:
        pipe.unlink(keys.memo(name), keys.memo_maps(name), *held)
        pipe.zrem(keys.MEMOS, name)
        count, _ = pipe.execute()
    return bool(count)
