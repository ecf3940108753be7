"""A module of which everything may be called: what it defines, what it has only imported, and what is neither."""

from __future__ import annotations

import functools
import os
from pickle import loads  # noqa: F401 - what it is for
from typing import Any, ClassVar

from tests.jobs import square as imported  # noqa: F401 - as above


def square(n: int) -> int:
    return n * n


def tell(*_args: Any) -> str:
    return "told"


class Base(os.PathLike[str]):
    def __fspath__(self) -> str:
        return "/"


class Kind(Base, dict[str, int]):
    bound: ClassVar[Any] = os.getenv
    made = 0

    def __init__(self, held: Any = None) -> None:
        super().__init__(a=1)
        self.held = held

    def double(self, n: int) -> int:
        return 2 * n

    def __call__(self, n: int) -> int:
        return 3 * n

    @classmethod
    def make(cls, n: int) -> int:
        return 4 * n

    @staticmethod
    def free(n: int) -> int:
        return 5 * n


class Empty:
    """An object that is not true, so that RQ takes the function's name for a path."""

    def __len__(self) -> int:
        return 0


caller = Kind()
part = functools.partial(square, 3)
part_of_another = functools.partial(os.getenv, "HOME")
cached = functools.lru_cache(square)
table = {"a": 1}
