"""Why a server can't be worked with, and what to do: one clear error each, wherever it is met."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own name
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - as above
)
from redis.sentinel import MasterNotFoundError

from taskq.errors import ServerError, TaskqError

CLUSTER = (ClusterCrossSlotError, ClusterDownError, AskError)  # MOVED is a kind of the last
AWAY = (ConnectionError, TimeoutError, OSError)
REFUSALS = (OutOfMemoryError, ReadOnlyError)

_AWAY = "Is it running, and is the URL right? `taskq server` starts one here, Queue(patience=...) waits for one"
_NO_PASSWORD = "It wants a password: redis://:PASSWORD@host:6379/0, or redis://USER:PASSWORD@host:6379/0"  # noqa: S105 - none
_HELLO = "HELLO must be called with the client already authenticated"  # Redis' longer words for the same
_CLUSTER = (
    "It is a node of a cluster, over which the keys of a map would be scattered: use one without cluster mode"
)
_NO_TLS = "It does not speak TLS: use redis:// instead of rediss://"
_CERTIFICATE = "Its certificate is not trusted here: see ssl_ca_certs in docs/redis.md"
_OTHER = "It lacks what taskq needs: that is a Redis or Valkey server; for Sentinel see docs/redis.md"
_NAME = "The sentinels know the primary by another name: it stands in redis+sentinel://HOST:26379/NAME/0"
_NO_SENTINEL = "It is no sentinel: without sentinels a URL begins with redis:// or rediss://"
_SENTINEL = "It is the sentinels that want to know who we are: see sentinel_password in docs/redis.md"
_FULL = "It has as many clients as it takes (maxclients); docs/redis.md says how many a worker needs"

_FINAL: tuple[tuple[type[BaseException], str, str], ...] = (
    (MasterNotFoundError, "Authentication required", _SENTINEL),
    (MasterNotFoundError, "invalid username-password", _SENTINEL),
    (ResponseError, "No such master with that name", _NAME),
    (ResponseError, "unknown command 'SENTINEL'", _NO_SENTINEL),
    (ResponseError, "unknown command `SENTINEL`", _NO_SENTINEL),
    (AuthenticationError, "Authentication required", _NO_PASSWORD),
    (AuthenticationError, _HELLO, _NO_PASSWORD),
    (AuthenticationError, "", "Check user and password"),
    (InvalidResponse, "", "What answers there is no Redis server, but perhaps one for HTTP: check host and port"),
    (ResponseError, "DB index is out of range", "It has no database of that number: take a lower one, as in /0"),
    (ResponseError, "NOAUTH", _NO_PASSWORD),
    *((kind, "", _CLUSTER) for kind in CLUSTER),
    (ResponseError, "MOVED ", _CLUSTER),
    (ResponseError, "CROSSSLOT", _CLUSTER),
    (ResponseError, "in cluster mode", _CLUSTER),
    (ResponseError, "unknown command", _OTHER),
    (ssl.SSLError, "WRONG_VERSION_NUMBER", _NO_TLS),
    (ssl.SSLCertVerificationError, "", _CERTIFICATE),
)
"""What will be refused the next time, too: kind of error, a part of its text, remedy."""

_PASSING: tuple[tuple[type[BaseException], str, str], ...] = (
    (OutOfMemoryError, "", "It has reached maxmemory: delete what is no longer needed, or raise the limit"),
    (ReadOnlyError, "", "It is a read-only replica, perhaps after a fail-over: connect to the primary"),
    (NoPermissionError, "", "Its ACL does not allow this user what is needed; see docs/security.md"),
    (RedisError, "max number of clients reached", _FULL),
    (RedisError, "", _AWAY),
    (OSError, "", _AWAY),
)
"""As above, of what may go over."""


def final(error: BaseException) -> str | None:
    """What to do about an error that waiting does not help; None if it may."""
    for one in _chain(error):
        for kind, part, remedy in _FINAL:
            if isinstance(one, kind) and part in str(one):
                return remedy
    return None


def is_away(error: BaseException) -> bool:
    """Whether the server can't be reached now, and may be in a while."""
    return isinstance(error, AWAY) and not isinstance(error, TaskqError) and final(error) is None


def remedy(error: BaseException) -> str:
    """What to do about it; without a full stop."""
    return final(error) or next(
        (text for kind, part, text in _PASSING if isinstance(error, kind) and part in str(error)), ""
    )


def reason(error: BaseException) -> str:
    """What has happened, in redis-py's words; without a full stop."""
    text = (error.reason if isinstance(error, ServerError) else "") or str(error).rstrip(". ")
    return "Authentication required" if _HELLO in text else text or type(error).__name__


def unusable(error: BaseException, url: str) -> str | None:
    """What to say of a server for which waiting does not help; None if it may. ``url``: without its password."""
    remedy = final(error)
    return f"no Redis at {url}: {reason(error)}. {remedy}." if remedy else None


def server_error(error: BaseException, url: str) -> ServerError:
    """The error to raise instead; ``url``: without its password."""
    made = ServerError(f"Redis at {url} can't do it: {reason(error)}. {remedy(error)}.")
    made.away, made.reason = is_away(error), reason(error)
    return made


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
