"""Signatures of what travels through Redis: HMAC-SHA256 over a payload and its place.

Whoever can write to Redis could otherwise put a pickle there which runs code in a worker, or in the producer that
fetches a result. With ``TASKQ_SECRET_KEY`` set, what carries no signature of a key of ours, made for the very
place where it was found, is refused before it is unpickled. The place (which map, which chunk, what it is) keeps
true pieces from being moved to where they were not meant to be.

A key is derived for each place, once; then a signature is one ``hmac`` copy (1 µs, where itsdangerous takes 5: a
map of a million items has a million results).

A sealed payload is ``MAGIC``, 32 bytes of signature, the payload. No pickle begins with ``MAGIC``, so whoever
reads one without a key gets an error from pickle, and nothing else.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterable
from pathlib import Path

from taskq.errors import OptionError, SignatureError

VARIABLE = "TASKQ_SECRET_KEY"
FILE = "TASKQ_SECRET_KEY_FILE"  # instead of it: where its text stands, as secrets of containers do
LEAST = 32  # characters a key must have: as many bytes as SHA-256 gives
MAGIC = b"\x00tq1"

_SIZE = 32  # bytes of a signature
_HEAD = len(MAGIC) + _SIZE
_CONTEXT = b"taskq 1"  # part of every derived key: the same secret may have other uses

REMEDY = (
    f"Whoever wrote it must have {VARIABLE} set to a key of this program's: of several, separated by commas, the "
    "first signs and all are accepted."
)


class Keyring:
    """The secret keys of a program: the first one signs, all of them are accepted. It may be empty.

    Args:
        keys: Each of at least ``LEAST`` bytes. Never shown, not by ``repr`` either.

    Raises:
        OptionError: If one is too short.
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._keys = tuple(keys)
        for position, key in enumerate(self._keys, 1):
            if len(key) < LEAST:
                raise OptionError(
                    f"key {position} of {VARIABLE} has {len(key)} characters; {LEAST} are the least. Make one: "
                    "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """The keys in the text of ``TASKQ_SECRET_KEY``, separated by commas; blanks around them don't count.

        Raises:
            OptionError: If one is too short, as an empty one between two commas is; or if there is none, for who
                has set the variable believes that everything is signed.
        """
        if not text.strip(" \t\r\n,"):
            raise OptionError(
                f"{VARIABLE} is set, and holds no key: nothing would be signed. Put one there, made by: "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'; or unset it, if you want that"
            )
        return cls(part.strip().encode() for part in text.split(","))

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)}>"

    def seal(self, *place: str) -> Seal:
        """What signs, and checks, the payloads of one place; there must be a key.

        Args:
            place: What it is, and of what.
        """
        return Seal(self.derived(*place), " of ".join(place[:2]))

    def derived(self, *place: str) -> list[bytes]:
        """A key for just this place, of each key there is."""
        name = json.dumps(place, allow_nan=False).encode()  # no two places are written alike
        return [hmac.digest(key, _CONTEXT + name, "sha256") for key in self._keys]

    @property
    def names(self) -> list[str]:
        """What tells which of several keys was used, and nothing of the key."""
        return [derived[:8].hex() for derived in self.derived("name of a key")]


class Seal:
    """Signs and checks payloads of one place.

    Args:
        keys: Derived ones.
        what: Names the place in errors.
    """

    def __init__(self, keys: list[bytes], what: str) -> None:
        self._macs = [hmac.new(key, digestmod="sha256") for key in keys]
        self._what = what

    def close(self, payload: bytes) -> bytes:
        """The payload, signed."""
        mac = self._macs[0].copy()
        mac.update(payload)
        return MAGIC + mac.digest() + payload

    def open(self, sealed: bytes) -> bytes:
        """The payload of what ``close`` returned.

        Raises:
            SignatureError: If it is not signed, or not by one of our keys, or was signed for another place.
        """
        head, payload = sealed[:_HEAD], sealed[_HEAD:]
        for keyed in self._macs:
            mac = keyed.copy()
            mac.update(payload)
            if hmac.compare_digest(MAGIC + mac.digest(), head):
                return payload
        if not sealed.startswith(MAGIC):
            raise SignatureError(f"the {self._what} is not signed, and so it was not read. {REMEDY}")
        raise SignatureError(
            f"the {self._what} was signed with another key, or for another place, or was changed since; so it was "
            f"not read. {REMEDY}"
        )


_in_use: dict[object, Keyring] = {}  # what the variables say -> the keyring; or "" -> that of ``use``


def keyring() -> Keyring:
    """The keys of this process: those it was given (a pool process), else those in its environment.

    Raises:
        OptionError: If ``TASKQ_SECRET_KEY``, or the file that ``TASKQ_SECRET_KEY_FILE`` names, holds no key or one
            that is too short; if there is no such file, or both are set.
    """
    if "" in _in_use:
        return _in_use[""]
    text, path = os.environ.get(VARIABLE), os.environ.get(FILE)
    if text is None and path is None:
        return _NONE
    if (known := _in_use.get((text, path))) is None:
        _in_use.clear()
        known = _in_use[text, path] = Keyring.parse(_text(text, path))
    return known


def _text(text: str | None, path: str | None) -> str:
    if path is None:
        return text or ""
    if text is not None:
        raise OptionError(f"{VARIABLE} and {FILE} are both set: unset one")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OptionError(f"{FILE} is {path!r}, which can't be read: {error}") from error


def use(keys: Keyring) -> None:
    """Make this (pool) process use these keys, whatever its environment says."""
    _in_use.clear()
    _in_use[""] = keys


_NONE = Keyring()
