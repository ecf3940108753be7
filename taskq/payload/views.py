"""How a memoryview travels: as one, over memory of the reader's; cloudpickle would make bytes of it."""

from __future__ import annotations

import pickle
from typing import Any

_CASTS = frozenset("bBhHiIlLqQnNfd?c")  # what a memoryview can be told that it shows; of others the bytes go


def reduce(value: memoryview) -> tuple[Any, ...]:
    """As ``__reduce_ex__`` of a memoryview would say it."""
    buffer = pickle.PickleBuffer(value) if value.c_contiguous else value.tobytes()
    return _view, (buffer, value.format, value.shape)


def _view(buffer: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    flat = memoryview(buffer).cast("B")
    if form not in _CASTS or (form == "B" and len(shape) == 1):
        return flat
    return flat.cast(form, shape)  # type: ignore[call-overload,no-any-return]
