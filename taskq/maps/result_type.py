"""``R``: the type of a map's results, as a type checker follows it from the function to ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)  # so that ``MapJob`` alone is a type, too
else:
    from typing import TypeVar

    R = TypeVar("R")
