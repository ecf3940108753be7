"""A function with what each process is to call before it, on their way together."""

from __future__ import annotations

import functools
from typing import Any

from taskq.errors import OptionError
from taskq.payload import codec, imports, large
from taskq.payload.function import Function
from taskq.payload.large import Blob


class PreparedFunction(Function):
    """As ``Function``, with an initializer.

    Where both are sent by value they are one pickle, so that they have the same globals there, too: what an
    initializer of a script leaves in one, the function finds.

    Args:
        function: The function, prepared.
        initializer: The same of its initializer, which has its arguments.
        both: What ``codec.dumps`` made of the two; None: each has its own.
    """

    def __init__(self, function: Function, initializer: Function, both: bytes | None) -> None:
        code = function.code if both is None else both
        super().__init__(
            function.name, code, by_value=function.by_value, python=function.python, digest=function.digest
        )
        self.apart = function.apart
        self.initializer = initializer
        self._together = both is not None

    @classmethod
    def prepare(
        cls, target: Any, initializer: Any, args: tuple[Any, ...], *, share: bool = False
    ) -> PreparedFunction:
        """Prepare both.

        Args:
            target: As ``Function.of`` takes it.
            initializer: The same.
            args: What it is to be called with.
            share: As ``Function.of``.

        Raises:
            OptionError: If one is no callable, and no path of one.
            PickleError: If one can't be pickled, or an argument.
        """
        if not (callable(initializer) or isinstance(initializer, str)):
            raise OptionError(f"initializer must be a function, or the path of one, not {initializer!r:.80}")
        function, before = Function.of(target, share=share), Function.of(initializer, share=share)
        whole = initializer
        if args:
            name, whole = before.name, functools.partial(before if before.code is None else initializer, *args)
            before = Function.of(whole, share=share)
            before.name = name
        if not (function.by_value and before.by_value):
            return cls(function, before, None)
        apart = large.Apart() if share else None
        both = codec.dumps((target, whole), f"the function {function.name}", with_sources=True, apart=apart)
        before.part(b"", None)  # it is in there
        made = cls(function, before, both)
        made.part(both, apart)
        return made

    @property
    def blobs(self) -> list[Blob]:
        return [*super().blobs, *self.initializer.blobs]

    def load_initializer(self) -> Any:
        """The initializer itself, as ``load`` gives the function.

        Raises:
            As ``load``.
        """
        if self._together:
            self.load()
        return self.initializer.load()

    def _import(self) -> Any:
        if not self._together:
            return super()._import()
        for name in (self.name, self.initializer.name):
            imports.check(f"{imports.BY_VALUE}.{name}")
        function, self.initializer._loaded = codec.loads(*self.parts())  # noqa: SLF001 - of the same family
        return function

    def _all(self) -> Any:
        function = self.load()
        return (function, self.load_initializer()) if self._together else function

    def __reduce__(self) -> tuple[Any, ...]:
        code, digest = self.traveling(self._all)
        alone, both = (None, code) if self._together else (code, None)
        function = Function(self.name, alone, by_value=self.by_value, python=self.python, digest=digest)
        function.apart = self.apart
        return self.with_kinds(PreparedFunction, (function, self.initializer, both))
