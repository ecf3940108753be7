"""What is wrong with a URL, before anything is connected by it; and how one is shown, without its password.

redis-py takes much for good that is not: it passes over a database that is no number, has options it does not know
fail at the first command, and takes what stands before a raw ``/``, ``?`` or ``#`` of a password for the host.
Which options a kind of URL can't have (``ssl_*`` without TLS) is seen by ``connection.connect``.
No message quotes any part of the URL but names: what stands there may be a password.
"""

from __future__ import annotations

import difflib
import re
import ssl
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from redis.connection import URL_QUERY_ARGUMENT_PARSERS, SSLConnection

from taskq.errors import OptionError
from taskq.redis import credentials, sentinel_urls
from taskq.redis.sentinel_urls import HOST, RAW, BySentinel

_SCHEMES = ("redis", "rediss", "unix")
_TEXTS = (
    "username", "password", "client_name", "lib_name", "lib_version", "ssl_keyfile", "ssl_certfile",
    "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_password", "ssl_ciphers",
    credentials.OPTION,
)  # fmt: skip
_OURS = {  # what decides of our work, and is decided here
    "decode_responses": "taskq reads bytes",
    "encoding": "taskq writes UTF-8",
    "encoding_errors": "taskq writes UTF-8",
    "legacy_responses": "taskq reads the replies as they are by default",
    "retry_on_error": "what is tried again, and for how long, Queue(patience=...) says",
    "retry_on_timeout": "what is tried again, and for how long, Queue(patience=...) says",
}
_OF_OTHERS = {"timeout"}  # for a pool of connections that waits until one is free, which ours is not
_KNOWN = sorted({*URL_QUERY_ARGUMENT_PARSERS, *_TEXTS} - {*_OURS} - _OF_OTHERS)
_PARSERS: dict[str, Any] = URL_QUERY_ARGUMENT_PARSERS
_EXAMPLE = "a URL such as redis://host:6379/0"


def fault(url: str) -> str | None:
    """What is wrong with it, to be read after the URL itself; None if nothing is to be seen."""
    try:
        found = sentinel_urls.read(url)
        parts = urlsplit(found.primary if isinstance(found, BySentinel) else url)
    except ValueError:
        return f"is not {_EXAMPLE}"
    if isinstance(found, str):
        return found
    if found:
        url = found.primary
    if parts.scheme not in _SCHEMES or not url.startswith(f"{parts.scheme}://"):
        return f"is not {_EXAMPLE}; it begins with redis://, rediss://, unix:// or redis+sentinel://"
    if _has_raw_password(parts):
        return RAW
    if parts.fragment:
        return "has a # in it, and nothing of a URL for Redis stands behind one"
    return _wrong_place(parts) or _wrong_option(parts.query)


def _has_raw_password(parts: SplitResult) -> bool:
    """Whether an @ stands where none can be: the host, to which it led, was meant to stand behind it."""
    path = "" if parts.scheme == "unix" and not parts.netloc else parts.path  # a socket may be named so
    known = {name for name, _value in parse_qsl(parts.query, keep_blank_values=True)} <= {*_KNOWN, *_OURS}
    return "@" in path or "@" in parts.fragment or ("@" in parts.query and not known)


def _wrong_place(parts: SplitResult) -> str | None:
    try:
        parts.port  # noqa: B018 - raises
    except ValueError:
        return f"is not {_EXAMPLE}"
    if parts.scheme == "unix":
        return None if parts.path else "names no socket: unix:///path/to/redis.sock"
    if not re.fullmatch(r"/?|/[0-9]+/?", parts.path):
        return "names no database: behind the host stands its number, as in redis://host:6379/0"
    return None


def _wrong_option(query: str) -> str | None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _OURS:
            return f"has the option {name}, which can't be chosen: {_OURS[name]}"
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KNOWN)}"
            return f"has an option that there is not, {name:.40}: {hint}"
        try:
            _PARSERS.get(name, str)(value)
        except (TypeError, ValueError):
            return f"has a value for its option {name} that is none"
    return None


def hide_password(url: str) -> str:
    """The URL with ``***`` for its password, fit for logs and messages; whatever the string is."""
    hidden = re.sub(r"(//[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&][a-z_]*password=)[^&#]*", r"\1***", hidden)


TLS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_ca_data", "ssl_keyfile", "ssl_certfile")


def whole_url_of(connection: Any) -> str:
    """By which others connect as this connection does, with its name and password, and its certificates.

    Raises:
        OptionError: If no URL says that: it asks another program for the password, or sentinels that differ in
            theirs.
    """
    pool = connection.connection_pool
    provider = pool.connection_kwargs.get(credentials.OPTION)
    if provider and not isinstance(provider, credentials.Named):
        raise OptionError("a connection with a credential_provider can't be told as a URL: name it in a URL, as "
                          "module:name")  # fmt: skip
    by_sentinel = by_sentinel_of(pool)
    url, options = url_of(connection), pool.connection_kwargs
    if by_sentinel:
        scheme = "rediss" if by_sentinel.tls else "redis"
        url = f"{scheme}://{HOST}/{options.get('db') or 0}"
    name, password = (quote(str(options.get(one) or ""), safe="") for one in ("username", "password"))
    told = {}
    if url.startswith("unix:"):
        url = url.replace("//", f"//{name}@" if name else "//", 1)
        told = {"password": options["password"]} if password else {}
    elif name or password:
        url = url.replace("//", f"//{name}:{password}@", 1)
    if url.startswith("rediss:"):
        told = {one: options[one] for one in TLS if options.get(one)}
        if "ssl_cert_reqs" in options and options["ssl_cert_reqs"] in (None, ssl.CERT_NONE):
            told["ssl_cert_reqs"] = "none"
    if provider:
        told[credentials.OPTION] = provider.path
    url = f"{url}{'&' if '?' in url else '?'}{urlencode(told)}" if told else url
    return replace(by_sentinel, primary=url).whole if by_sentinel else url


def url_of(connection: Any) -> str:
    """What to call a connection in messages, without its password."""
    pool = connection.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}" + (f"?db={options['db']}" if options.get("db") else "")
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    if by_sentinel := by_sentinel_of(pool):
        return f"{scheme}+sentinel://{by_sentinel.hosts}/{by_sentinel.name}/{options.get('db') or 0}"
    host = str(options.get("host", "localhost"))
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{options.get('port', 6379)}/{options.get('db') or 0}"


def hosts_of(connection: Any) -> list[str] | None:
    """The hosts that a connection names: of a server, or of sentinels; None for what is on this machine anyway."""
    options = connection.connection_pool.connection_kwargs
    if "path" in options or "server" in options:  # "server": a fakeredis
        return None
    if by_sentinel := by_sentinel_of(connection.connection_pool):
        return [host for host, _port in by_sentinel.sentinels]
    return [options.get("host") or "localhost"]


def by_sentinel_of(pool: Any) -> BySentinel | None:
    """Where a connection asks for its primary, be it ours or redis-py's ``Sentinel(...).master_for(...)``.

    Raises:
        OptionError: If its sentinels differ in more than their addresses.
    """
    if primary := pool.connection_kwargs.get("primary"):
        found: BySentinel = primary.found
        return found
    if not hasattr(pool, "sentinel_manager"):
        return None
    pools = [one.connection_pool for one in pool.sentinel_manager.sentinels]
    first, *others = [
        (
            issubclass(one.connection_class, SSLConnection),
            *map(one.connection_kwargs.get, ("username", "password")),
        )
        for one in pools
    ]
    if any(one != first for one in others):
        raise OptionError("a connection by sentinels with different passwords can't be told as a URL")
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    sentinels = tuple((str(one.connection_kwargs["host"]), int(one.connection_kwargs["port"])) for one in pools)
    return BySentinel(sentinels, pool.service_name, f"{scheme}://{HOST}", *first)
