"""What the dashboard is told at its start."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from taskq.errors import OptionError
from taskq_workers.hosts import is_address

PORT = 8700
LEAST_TOKEN = 16  # characters
LEAST_PASSWORD = 12  # characters


@dataclass(frozen=True)
class DashboardSettings:
    """The options of ``taskq dashboard``.

    Args:
        url: Of Redis.
        host: The address to listen on.
        port: 0: any free one.
        token: Who has it may look, and act if actions are allowed; empty: no token.
        basic_auth: ``user:password``, with the same meaning; empty: none.
        allow_actions: Cancel and retry; without, the page is read-only.
        allow_hosts: Further names by which browsers reach it.
        no_auth: Listen on other addresses than this machine's own, although anybody there may look.

    Raises:
        OptionError: If it would listen to others without a token or password, if one is too short, or an option is
            malformed.
    """

    url: str
    host: str = "127.0.0.1"
    port: int = PORT
    token: str = ""
    basic_auth: str = ""
    allow_actions: bool = False
    allow_hosts: tuple[str, ...] = ()
    no_auth: bool = False

    def __post_init__(self) -> None:
        user, colon, password = self.basic_auth.partition(":")
        if self.basic_auth and not (user and colon and password):
            raise OptionError("a user and password for the page must be written user:password")
        for what, given, least in (("token", self.token, LEAST_TOKEN), ("password", password, LEAST_PASSWORD)):
            if given and len(given) < least:
                raise OptionError(
                    f"the page's {what} has {len(given)} characters, which can be guessed; {least} are the least. "
                    "Make one: python -c 'import secrets; print(secrets.token_urlsafe(24))'"
                )
        if not (self.protected or self.no_auth or is_loopback(self.host)):
            raise OptionError(
                f"other machines can reach {self.host}, and whoever reaches the page may look at all jobs. Give "
                "it a token or a password (TASKQ_DASHBOARD_TOKEN, --token-file), or let it listen on 127.0.0.1, "
                "or say --no-auth if something else guards it"
            )

    @property
    def protected(self) -> bool:
        """Whether the page asks who is there."""
        return bool(self.token or self.basic_auth)

    def __repr__(self) -> str:  # the URL may hold a password
        return f"<DashboardSettings {self.host}:{self.port} protected={self.protected}>"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
