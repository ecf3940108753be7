"""The Lua operations, one file each; a file's header says what it does and what it takes."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

from taskq.redis import scripting

_INCLUDE = re.compile(r"^--include (\w+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of ``<name>.lua``."""
    return (resources.files(__name__) / f"{name}.lua").read_text(encoding="utf-8")


@cache  # whoever makes a connection of his own asks for all of them
def whole(name: str) -> str:
    """The same, with the files that it is made with (``--include NAME``) in their places."""
    return _INCLUDE.sub(lambda found: source(found[1]), source(name))


def read_all() -> None:
    """Have the text of each in memory, before the files can change."""
    for file in resources.files(__name__).iterdir():
        name, _, kind = file.name.partition(".")
        if kind == "lua":
            source(name)


class Operation:
    """One script, bound to a connection."""

    def __init__(self, connection: Any, name: str) -> None:
        self._connection = connection
        self._text = whole(name)
        self._sha = scripting.sha(self._text)

    def __call__(self, keys: list[str], args: list[Any], pipe: Any = None) -> Any:
        """Run it and return its reply; or, given a pipeline, queue it there.

        A pipeline runs it by its hash alone: redis-py would ask the server before every pipeline whether it
        knows the script, a whole round trip. So the caller of the pipeline must be ready for a
        ``NoScriptError`` reply (a restarted server has forgotten all scripts), and answer with ``load``.
        """
        if pipe is None:
            return scripting.run(self._connection, self._text, keys, args)
        return pipe.evalsha(self._sha, len(keys), *keys, *args)

    def in_full(self, keys: list[str], args: list[Any], pipe: Any) -> None:
        """Queue it with its text, for a transaction that must not be made without it; for short ones."""
        pipe.eval(self._text, len(keys), *keys, *args)

    def load(self) -> None:
        """Make the server know the script."""
        scripting.load(self._connection, self._text)


class Scripts:
    """The operations on maps and queues, bound to one connection."""

    def __init__(self, connection: Any) -> None:
        self.begin = Operation(connection, "begin")
        self.append = Operation(connection, "append")
        self.blob = Operation(connection, "blob")
        self.write = Operation(connection, "write")
        self.write_memo = Operation(connection, "write_memo")
        self.memo = Operation(connection, "memo")
        self.memos = Operation(connection, "memos")
        self.memo_find = Operation(connection, "memo_find")
        self.memo_undo = Operation(connection, "memo_undo")
        self.abandon = Operation(connection, "abandon")
        self.writing = Operation(connection, "writing")
        self.displace = Operation(connection, "displace")
        self.enlist = Operation(connection, "enlist")
        self.open = Operation(connection, "open")
        self.busy = Operation(connection, "busy")
        self.look = Operation(connection, "look")
        self.fleet = Operation(connection, "fleet")
        self.idle = Operation(connection, "idle")
        self.claimed = Operation(connection, "claimed")
        self.claim = Operation(connection, "claim")
        self.copy = Operation(connection, "copy")
        self.commit = Operation(connection, "commit")
        self.release = Operation(connection, "release")
        self.split = Operation(connection, "split")
        self.unrecorded = Operation(connection, "unrecorded")
        self.close = Operation(connection, "close")
        self.expire = Operation(connection, "expire")
        self.give_back = Operation(connection, "give_back")
        self.take = Operation(connection, "take")
        self.hold = Operation(connection, "hold")
        self.mirror = Operation(connection, "mirror")
        self.finish = Operation(connection, "finish")
        self.renew = Operation(connection, "renew")
        self.lost = Operation(connection, "lost")
        self.depose = Operation(connection, "depose")
        self.begun = Operation(connection, "begun")
        self.refuse = Operation(connection, "refuse")
        self.trace = Operation(connection, "trace")
        self.given = Operation(connection, "given")
        self.schema = Operation(connection, "schema")
        self.mend = Operation(connection, "mend")
        self.put = Operation(connection, "put")
        self.seal = Operation(connection, "seal")
        self.adopt = Operation(connection, "adopt")
        self.pick = Operation(connection, "pick")
        self.pause = Operation(connection, "pause")
        self.feed = Operation(connection, "feed")
        self.follow = Operation(connection, "follow")
        self.unfollow = Operation(connection, "unfollow")
        self.pass_on = Operation(connection, "pass_on")

    def load(self) -> None:
        """Make the server know all of them, before they are used in a pipeline."""
        for operation in vars(self).values():
            operation.load()
