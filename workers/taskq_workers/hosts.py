"""By which name somebody asks for a page, as its ``Host`` header says."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def name_in(header: str) -> str | None:
    """The name or address in such a header, without the port; "" if there is none, None if nobody can read it."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return None


def is_address(name: str) -> bool:
    """Whether it is an IP address, and no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
