"""Who guesses the token or the password: each wrong one is logged, waits, and soon nothing more is looked at."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds until a wrong one is answered
FREE = 10  # wrong ones of one address within ``WINDOW``; after that even the right one is not looked at
WINDOW = 60.0  # seconds
_KNOWN = 4096  # addresses that are remembered


class Guesses:
    """The wrong ones, by the address that they came from."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[float]] = OrderedDict()

    def barred(self, address: str) -> bool:
        """Whether this address has to wait until it may try again."""
        return len(self._lately(address)) >= FREE

    async def wrong(self, address: str, what: str) -> None:
        """Note a wrong one, and let its sender wait.

        Args:
            address: Where it came from.
            what: What was given: a token, a password.
        """
        lately = self._lately(address)
        lately.append(time.monotonic())
        self._seen[address] = lately
        self._seen.move_to_end(address)
        while len(self._seen) > _KNOWN:
            self._seen.popitem(last=False)
        barred = f"; nothing more of it is looked at for {WINDOW:.0f} s" if len(lately) >= FREE else ""
        log.warning("a wrong %s from %s, %d in the last minute%s", what, address, len(lately), barred,
                    extra={"action": "wrong_guess"})  # fmt: skip
        await asyncio.sleep(PAUSE)

    def _lately(self, address: str) -> list[float]:
        since = time.monotonic() - WINDOW
        return [moment for moment in self._seen.get(address, ()) if moment > since]
