"""A number and what there are so many of, in words."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """E.g. "1 chunk", "2,000 chunks".

    Args:
        number: How many.
        one: The word for one of them.
        many: The word for several; default: that with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
