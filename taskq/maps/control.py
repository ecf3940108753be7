"""What becomes of a map as a whole: it is closed, paused, limited, kept for so long, its end told.

Methods with a ``pipe`` argument run at once if it is None; else they queue their command there.
"""

from __future__ import annotations

from typing import Any

from taskq.errors import SignatureError
from taskq.maps import caps
from taskq.maps.caps import Caps
from taskq.maps.reader import MapReader
from taskq.payload import signing
from taskq.redis import checked, keys
from taskq.redis.lua import Operation, Scripts

_END = "end"
_OTHERS, _SIGNED = -1, -2  # what limit.lua says
_STEP = 1000  # entries that one call of a script moves
_MAX_REASON = 4000  # characters
CANCELED = "cancelled"  # the reason that closes a cancelled map
CANCELED_TTL = 24 * 3600  # seconds for which a cancelled map's results so far can be looked at
FOLLOWED_TTL = 24 * 3600
"""Seconds for which a map is kept at least whose results are to be another's items, until that has them."""


class MapControl(MapReader):
    """The keys of one map.

    Args:
        job_id: The map's RQ job.
        connection: Anything redis-py compatible.
        scripts: Of the same connection; made when not given.
        incarnation: The one that is meant; "": whichever is there when it is first looked at.
    """

    def __init__(
        self, job_id: str, connection: Any, scripts: Scripts | None = None, *, incarnation: str = ""
    ) -> None:
        super().__init__(job_id, connection, incarnation=incarnation)
        self.scripts = scripts or Scripts(connection)

    @property
    def _of_claims(self) -> list[str]:
        k = self.known
        return [k.hash, k.pending, k.claims, k.copies, k.since]

    def close(self, reason: str = "", pipe: Any = None, *, kill: bool = False, whole: bool = False) -> None:
        """Accept no more claims and commits; what is left can be opened again.

        Args:
            reason: For people.
            pipe: See above.
            kill: Kill what runs.
            whole: Only if every item was tried. This is said at the end of a map, and may come late: then a retry
                may have opened the map again.
        """
        k = self.known
        notes = (k.events, keys.NOTES, keys.LOOK)
        args = [
            k.incarnation,
            checked.clean(reason[:_MAX_REASON]),
            k.id,
            int(kill),
            *notes,
            _STEP,
            int(whole),
            keys.OPEN,
        ]
        self.scripts.close(self._of_claims, args, pipe)

    def cancel(self, *, kill: bool = False) -> None:
        """Do to the map what was done to its job; ``kill`` what runs of it."""
        self.close(CANCELED, kill=kill)
        self.expire(CANCELED_TTL)
        self.tell_end()

    def pause(self, *, paused: bool) -> bool:
        """Have nothing more of it claimed, or have it go on; whether there is such a map."""
        k = self.known
        note = keys.note(keys.LOOK if paused else keys.WORK, k.id)
        args = [k.incarnation, "1" if paused else "", k.events, keys.NOTES, note]
        return bool(self.scripts.pause([k.hash], args))

    def limit(self, max_running: int | None, rate: str | None) -> bool:
        """Change how much of it may run; whether there is such a map.

        Args:
            max_running: Items at once, 0: any number; None: as before.
            rate: Such as ``"300/m"``, "": any number; None: as before.

        Raises:
            SignatureError: If the map is signed, and there is no secret key here.
            As ``info``, with a secret key.
        """
        k = self.known
        told = ["=" if one is None else one or "" for one in (max_running, rate)]
        notes = [keys.note(word, k.id) for word in (keys.LOOK, keys.WORK)]
        operation, said = Operation(self.connection, "limit"), _OTHERS  # which no worker needs
        while said == _OTHERS:
            signed = self._signed_caps(max_running, rate) if signing.keyring() else []
            said = operation([k.hash], [k.incarnation, *told, k.events, keys.NOTES, *notes, *signed])
        if said == _SIGNED:
            raise SignatureError(f"the map {k.id} is signed, and {signing.VARIABLE} is not set here")
        return bool(said)

    def _signed_caps(self, max_running: int | None, rate: str | None) -> list[Any]:
        """What limit.lua is told with a secret key: the signature over what will be, and what it was and is."""
        info = self.info()
        is_now, k = info.caps, self.known
        most = is_now.max_running if max_running is None else max_running
        will_be = Caps(most, is_now.rate if rate is None else rate)
        seal = caps.seal_codec(k.id).close(caps.signed(k.incarnation, will_be))
        return [seal, info.pushed_caps.text, is_now.max_running or "", is_now.rate]

    def expire(self, ttl: int, *, alone: bool = False) -> None:
        """Let all keys live for ``ttl`` seconds; -1: for ever, 0: not at all. An open map never gets a limit.

        Args:
            ttl: Seconds. Maps that follow it, and have not taken all yet, have a day for that.
            alone: Do not wait for these.
        """
        k = self.known
        args = [k.incarnation, ttl, k.id, 0 if alone else FOLLOWED_TTL]
        self.scripts.expire([keys.MAPS, *k.all, k.chunks], args)

    def tell_end(self, *, delete: bool = False, alone: bool = False) -> None:
        """Tell whoever waits that the map's job has ended; and ``delete`` the keys, if nothing is to be kept.

        Args:
            delete: See above.
            alone: As for ``expire``.
        """
        if delete:
            self.expire(0, alone=alone)
        self.connection.publish(self.keys.end, _END)
