"""Scripts on servers where the command SCRIPT is forbidden, or has another name: EVAL makes them known, too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.commands.core import Script
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from taskq.redis.patience import says_state


def is_forbidden(error: BaseException) -> bool:
    """Whether a server does not let a command be used: by its ACL, or as it has no such command any more."""
    unknown = ("unknown command", "unknown subcommand")
    return isinstance(error, NoPermissionError) or (
        isinstance(error, ResponseError) and str(error).lower().startswith(unknown)
    )


@cache  # of a few long texts, and each call of one asks
def sha(text: str) -> str:
    """By which EVALSHA names a script."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def run(connection: Any, text: str, keys: Sequence[Any], args: Iterable[Any]) -> Any:
    """Run one of our scripts by its hash."""
    with suppress(NoScriptError):  # what goes wrong after it has another cause
        return connection.evalsha(sha(text), len(keys), *keys, *args)
    load(connection, text)
    return connection.evalsha(sha(text), len(keys), *keys, *args)


def load(connection: Any, text: str) -> None:
    """Make the server know a script, without running it.

    Where SCRIPT LOAD is forbidden, it is run without keys: one of ours ends then before it has touched any
    (tests/contract/test_scripting.py).

    Raises:
        redis.exceptions.RedisError: If the server can't be reached, or refuses to run it.
    """
    try:
        connection.script_load(text)
    except ResponseError as error:
        if not is_forbidden(error):
            raise
    else:
        return
    try:
        connection.eval(text, 0)
    except ResponseError as error:
        if is_forbidden(error) or says_state(error):  # else it is the script's own, which has found no key
            raise


class Client(Redis):
    """A redis-py client whose scripts, those of RQ's as well, need no SCRIPT."""

    def register_script(self, script: Any) -> Script:
        return _Spoken(self, script)


class _Spoken(Script):
    def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        client, keys, args = client or self.registered_client, keys or (), args or ()
        text = self.script if isinstance(self.script, str) else bytes(self.script).decode()
        if isinstance(client, Pipeline):
            return client.eval(text, len(keys), *keys, *args)
        with suppress(NoScriptError):
            return client.evalsha(self.sha, len(keys), *keys, *args)
        return client.eval(text, len(keys), *keys, *args)
