"""What user code has raised, as a record that can travel; nothing that it does can hinder that."""

from __future__ import annotations

import base64
import socket
import traceback
from dataclasses import replace

from taskq.errors import DamagedError, PickleError, TooLargeError
from taskq.maps.time_limit import Expired
from taskq.payload import codec
from taskq.payload.outcome import MAX_PICKLE, MAX_TEXT, ChunkRefused, ItemFailure
from taskq.redis import refusals

_HOST = socket.gethostname()
_HIDDEN = "__tracebackhide__"  # a local variable by which a function says so, as pytest knows it


def failure_of(
    error: BaseException, index: int, item_timeout: float = 0.0, most: int = MAX_PICKLE, tried: int = 0
) -> ItemFailure:
    """The record of an exception that an item raised; it travels itself if it has ``most`` bytes. Never raises.

    Args:
        error: The exception.
        index: The item's.
        item_timeout: Seconds that it had.
        most: Bytes of the exception.
        tried: How often it was tried before.
    """
    if isinstance(error, Expired):
        return replace(ItemFailure.timeout(index, item_timeout, traceback_of(error), _HOST), attempts=tried + 1)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, (PickleError, TooLargeError)):
        name = kind.__name__
    pickled = _pickled(error, most)
    return ItemFailure(index, name, _text(error), traceback_of(error), pickled, attempts=tried + 1, host=_HOST)


def traceback_of(error: BaseException) -> str:
    """The traceback's text without taskq's own frames."""
    try:
        tb = error.__traceback__
        tb = tb.tb_next if tb else None
        while tb and _HIDDEN in tb.tb_frame.f_code.co_varnames:
            tb = tb.tb_next
        shown = traceback.TracebackException(type(error), error, tb)
        if isinstance(error, Expired) and shown.stack:
            shown.stack.pop()  # what went off; where, the frame before it says
        text = "".join(shown.format())
    except BaseException as broken:  # noqa: BLE001 - a __str__ of user code may do anything
        return f"{type(error).__name__} (its traceback can't be shown: {type(broken).__name__})"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException as broken:  # noqa: BLE001 - as above
        return f"(its message can't be shown: {type(broken).__name__})"


def _pickled(error: BaseException, most: int) -> str:
    """The exception as base64, if it survives the journey; tried out here, where a failure harms nobody."""
    try:
        data = codec.dumps(error)
        if len(data) > most or not isinstance(codec.loads(data), type(error)):
            return ""
    except BaseException:  # noqa: BLE001 - __reduce__ and __setstate__ are user code
        return ""
    return base64.b64encode(data).decode()


def refused(error: BaseException, what: str = "") -> ChunkRefused:
    """The outcome of a chunk that could not be started because of this error."""
    refusal = refusals.of(error)
    local = not refusal and not isinstance(error, DamagedError)
    return ChunkRefused(f"{what}{type(error).__name__}: {_text(error)}", refusal, local)
