"""``T`` and ``R``: types of a map's items and results, as a checker follows them from the function to ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)  # so that ``MapJob`` alone is a type, too
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")
    T = TypeVar("T")
