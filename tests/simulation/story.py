"""What happened to whom, in plain sentences."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from importlib import resources
from typing import Any

from redis.exceptions import RedisError

from taskq.redis import lua


@cache
def names() -> dict[bytes, str]:
    return {
        hashlib.sha1(lua.whole(file.name[:-4]).encode()).hexdigest().encode(): file.name[:-4]  # noqa: S324 - Redis's
        for file in resources.files(lua).iterdir()
        if file.name.endswith(".lua")
    }


def operation(command: list[bytes]) -> str:
    """The name of the script, or "exec"; "" for all else."""
    word = command[0].upper()
    if word == b"EVALSHA":
        return names().get(command[1], "")
    return "exec" if word == b"EXEC" else ""


class Story:
    """Lines, each with its time."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(f"{self._loop.now:9.4f}  {text}")

    def tell(self, who: str, command: list[bytes], reply: Any) -> None:
        """Note a step of a map."""
        name = operation(command)
        if name in ("", "exec", "take", "finish"):
            return
        count = int(command[2])
        keys, args = command[3 : 3 + count], command[3 + count :]
        line = _LINES.get(name, _plain)(args, reply)
        where = next((key for key in keys if key.startswith(b"taskq:{")), b"").decode().removeprefix("taskq:")
        if isinstance(reply, RedisError):
            line = f"is refused: {reply}"
        if line:
            self.say(f"{who}: {name} {where} {line}")

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _plain(args: list[bytes], reply: Any) -> str:
    return f"{b' '.join(arg[:40] for arg in args[1:4]).decode(errors='replace')} -> {_short(reply)}"


def _short(reply: Any) -> str:
    text = repr(reply)
    return text if len(text) < 60 else f"{text[:60]}..."


def _claims(_args: list[bytes], reply: Any) -> str:
    if not isinstance(reply, list) or len(reply) < 5:
        return "" if isinstance(reply, list) and reply[0] == b"open" else f"-> {_short(reply)}"
    return "gets " + ", ".join(
        f"{name.decode()} ({token[:6].decode()}, {deaths.decode()} deaths)"
        for name, token, deaths in zip(reply[4::5], reply[5::5], reply[6::5], strict=False)
    )


def _commits(args: list[bytes], reply: Any) -> str:
    errors = int(args[6])
    said = "stored" if isinstance(reply, list) and reply[0] == 1 else f"-> {_short(reply)}"
    return f"{args[1].decode()} ({args[2][:6].decode()}), {errors} errors, {int(args[8])} parts left: {said}"


def _renewals(_args: list[bytes], reply: Any) -> str:
    """Told only where it was given up for dead."""
    return "" if isinstance(reply, list) and reply[0] == 1 else "takes a lease"


def _lost(_args: list[bytes], reply: Any) -> str:
    return f"finds lost {reply}" if reply else ""


def _looks(args: list[bytes], reply: Any) -> str:
    """Told only where there is something to be done."""
    return _plain(args, reply) if reply else ""


_LINES = {
    "look": _looks, "claim": _claims, "commit": _commits, "renew": _renewals, "lost": _lost,
    "mirror": lambda _args, _reply: "",
}  # fmt: skip


class Listener(logging.Handler):
    """What the product logs becomes a part of the story."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.story: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        from tests.simulation import world

        here = world.maybe()
        if here is not None:
            task = here.loop.current
            who = task.process.name if task is not None else "somebody"
            here.say(f"{who} says: {record.getMessage()}")
