"""URLs of a primary that sentinels tell: ``redis+sentinel://me:secret@host1:26379,host2/name/0?option=value``.

User, password, database and options are the primary's, as in any URL; ``rediss+sentinel://`` speaks TLS to it, and
to the sentinels. For these there are ``sentinel_username``, ``sentinel_password`` and ``sentinel_ssl``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}  # to that of the primary itself
PORT = 26379  # of a sentinel that is named without one
HOST = "by-sentinel"  # stands in the primary's URL, whose host nobody knows yet
RAW = "has a raw / # or ? in its password: write %2F for /, %23 for #, %3F for ?"
_OWN = ("sentinel_username", "sentinel_password", "sentinel_ssl")
_TRUTH = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
_EXAMPLE = "redis+sentinel://host1:26379,host2:26379/name/0"


@dataclass(frozen=True)
class BySentinel:
    """Such a URL, taken apart.

    Args:
        sentinels: Hosts and ports.
        name: By which they know the primary.
        primary: The URL of the primary, but for its host.
        ssl: Whether sentinels are spoken to by TLS.
        username: For the sentinels.
        password: For the sentinels.
    """

    sentinels: tuple[tuple[str, int], ...]
    name: str
    primary: str = field(repr=False)
    ssl: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def hosts(self) -> str:
        """The sentinels, as a URL names them."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.sentinels)

    @property
    def tls(self) -> bool:
        """Whether the primary is spoken to by TLS."""
        return self.primary.startswith("rediss:")

    @property
    def whole(self) -> str:
        """The URL again, with all that is in it."""
        parts = urlsplit(self.primary)
        user, _, _host = parts.netloc.rpartition("@")
        own = {
            "sentinel_username": self.username,
            "sentinel_password": self.password,
            "sentinel_ssl": None if self.ssl == self.tls else "yes" if self.ssl else "no",
        }
        query = "&".join(filter(None, [parts.query, urlencode({name: one for name, one in own.items() if one})]))
        there = f"{user}{'@' if user else ''}{self.hosts}/{quote(self.name)}{parts.path.rstrip('/') or '/0'}"
        return f"{parts.scheme}+sentinel://{there}{'?' if query else ''}{query}"


def read(url: str) -> BySentinel | str | None:
    """Take such a URL apart; a text says what is wrong with it. None: it is of another kind."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return None
    user, _, named = parts.netloc.rpartition("@")
    sentinels = [address for one in named.split(",") if (address := _address(one))]
    if "@" in parts.path or "@" in parts.fragment:
        return RAW
    if len(sentinels) <= named.count(","):
        return f"names no sentinels as in {_EXAMPLE}"
    place = re.fullmatch(r"/([A-Za-z0-9._-]+)(/[0-9]*/?)?", parts.path)
    if place is None:
        return f"names no primary that sentinels watch, and its database, as in {_EXAMPLE}"
    given = parse_qsl(parts.query, keep_blank_values=True)
    own = {name: value for name, value in given if name in _OWN}
    rest = urlencode([(name, value) for name, value in given if name not in _OWN])
    ssl = _TRUTH.get(own.get("sentinel_ssl", str(parts.scheme == "rediss+sentinel")).lower())
    if ssl is None:
        return "has a value for its option sentinel_ssl that is none: it is yes or no"
    there = f"{user}{'@' if user else ''}{HOST}{place[2] or ''}"
    primary = f"{SCHEMES[parts.scheme]}://{there}{'?' if rest else ''}{rest}"
    username, password = (own.get(name) or None for name in _OWN[:2])
    fragment = f"#{parts.fragment}" if parts.fragment else ""  # is refused, as in any URL
    return BySentinel(tuple(sentinels), place[1], primary + fragment, ssl, username, password)


def _address(text: str) -> tuple[str, int] | None:
    """Host and port of one sentinel; None if it is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]@]+)(?::([0-9]{1,5}))?", text)
    return (found[1].strip("[]"), int(found[2] or PORT)) if found else None
