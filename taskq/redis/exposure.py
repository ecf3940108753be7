"""The loud warning: a Redis that others may reach, and nothing signed."""

from __future__ import annotations

import ipaddress
import logging
import os
from typing import Any

from taskq.redis.urls import hosts_of, url_of

log = logging.getLogger(__name__)

PRIVATE = "TASKQ_PRIVATE_REDIS"  # 1: nobody reaches it but who may run code here anyway, wherever it is

_warned: set[str] = set()


def is_private(connection: Any) -> bool:
    """Whether only those can reach the server who may run code here anyway.

    That is so at a unix socket or a loopback address, which are this machine's; and where
    ``TASKQ_PRIVATE_REDIS=1`` says so, as in the containers of the compose file. Nobody looks whether that is true.
    Sentinels that are all here count as a server that is here.
    """
    if os.environ.get(PRIVATE) == "1":
        return True
    return all(map(_is_here, hosts_of(connection) or ()))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def warn(connection: Any, *, signed: bool, variable: str) -> None:
    """Warn, once in this process and for this server, if others may reach it and nothing is signed.

    Args:
        connection: To it.
        signed: Whether this process has a secret key.
        variable: Of the environment, where one is set.
    """
    url = url_of(connection)
    if signed or is_private(connection) or url in _warned:
        return
    _warned.add(url)
    log.warning(
        "NOT SIGNED: whoever can write to the Redis at %s can run code here, since %s is not set. Set it to the "
        "same value for all workers and producers, made by: python -c 'import secrets; "
        "print(secrets.token_urlsafe(32))'. See docs/security.md",
        url, variable, extra={"action": "not_signed"},
    )  # fmt: skip
