"""A function on its way to the workers: by name where they can import it, by value where they can't."""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cloudpickle import list_registry_pickle_by_value

from taskq.errors import FunctionError, ImportRefusedError, OptionError
from taskq.payload import codec, imports, large, names
from taskq.payload.large import Apart, Blob

_LARGE = 1 << 20  # bytes of code and data that are not kept beside the loaded function
_HERE = ".".join(platform.python_version_tuple()[:2])


CALLBACKS = ("on_success", "on_failure", "on_stopped")
"""Options of jobs and maps that are functions, which go by name."""

_REMEDY = "Its module must be importable there (mount it, install it, or start the worker in its folder). "


class Function:
    """A callable that pickles as a name or as code, and is loaded only when it is first called.

    Loading late keeps user code out of every process that merely passes the function on.

    Args:
        name: What to call it in texts, and how to import it if it has no code.
        code: What ``codec.dumps`` made of it; None: ``name`` is a dotted path to import. Empty once it was loaded,
            if it is large, and if it is in the blob.
        by_value: Whether ``code`` holds byte code, which only the same minor version of Python can run.
        python: That version, such as ``"3.12"``.
        digest: Of the blob with its large buffers, and with its code if that is large (``large.py``); "": there is
            none.
    """

    kinds: bytes | None = None
    """Classes of errors that go with it, pickled: see ``maps/item_retry.py``."""

    apart: Blob | None = None
    """Where it was made: that blob, which must be written beside it."""

    def __init__(
        self, name: str, code: bytes | None, *, by_value: bool, python: str = _HERE, digest: str = ""
    ) -> None:
        self.digest = digest
        self.name = name
        self.code = code
        self.by_value = by_value
        self.python = python
        self._loaded: Any = None

    @classmethod
    def of(cls, target: Any, *, share: bool = False) -> Function:
        """Prepare any callable, or a path such as ``"package.module.function"`` or ``"package.module:function"``.

        Args:
            target: The callable, or the path.
            share: Whether what is large of it is to travel apart.

        Raises:
            OptionError: If it is neither.
            PickleError: If it can't be pickled in any way, e.g. a closure over an open file.
        """
        if isinstance(target, Function):
            return target
        if isinstance(target, str):
            path = names.dotted(target)
            if path is None:
                raise OptionError(
                    f"{target!r} is not a path such as 'package.module.function' or 'module:function'"
                )
            return cls(path, None, by_value=False)
        if not callable(target):
            raise OptionError(f"a function is needed, not {target!r}")
        name = display_name(target)
        apart = large.Apart() if share else None
        data = codec.dumps(target, f"the function {name}", with_sources=True, apart=apart)
        function = cls(name, data, by_value=codec.holds_code(data))
        function.part(data, apart)
        return function

    def part(self, data: bytes, apart: Apart | None) -> None:
        """Have this code, and what is large of it in a blob.

        Args:
            data: What ``codec.dumps`` has made.
            apart: What has left it; None: nothing was to.
        """
        self.code, self.apart, self.digest = data, None, ""
        if apart and (apart.buffers or len(data) >= large.LEAST):
            if moved := len(data) >= large.LEAST:  # bytes, say, which are in it all the same
                self.code = b""
            self.apart = large.Blob(data if moved else b"", apart.buffers)
            self.digest = self.apart.digest

    @property
    def blobs(self) -> list[Blob]:
        """Where it was made: what must be written beside it."""
        return [self.apart] if self.apart else []

    def load(self) -> Any:
        """The callable itself, imported or rebuilt here.

        Raises:
            FunctionError: If its module can't be imported here, or its code was made by another Python.
            ImportRefusedError: If this worker may not call it (``--allow-import``).
        """
        if self._loaded is None:
            self._loaded = self._load()
            large.shut(self.digest)  # what it shows of the blob stays
            if self.code and len(self.code) > _LARGE:
                self.code = b""  # else what it holds would be here twice
        return self._loaded

    def _load(self) -> Any:
        if self.by_value and self.python != _HERE:
            raise FunctionError(
                f"the function {self.name} was sent by value from Python {self.python} and this worker runs "
                f"Python {_HERE}: byte code can't be shared between minor versions. Run producer and workers "
                "on the same one, or put the function into a module which the workers can import."
            )
        try:
            return self._import()
        except ImportRefusedError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}" + ("" if str(error).endswith("?") else ".")
            raise FunctionError(
                f"the function {self.name} can't be loaded by the worker: {said} "
                + ("" if " has no attribute " in said else _REMEDY)
                + f"The worker looks in {sys.path!r}."
            ) from error

    def _import(self) -> Any:
        if self.code is None:
            return imports.resolve(self.name)
        code, buffers = self.parts()
        if not (self.by_value if self.digest else codec.holds_code(self.code)):
            return imports.load(code, buffers)
        imports.check(f"{imports.BY_VALUE}.{self.name}")
        return codec.loads(code, buffers)

    def parts(self) -> tuple[bytes | memoryview, list[memoryview]]:
        """Its code, and the buffers that have left it.

        Raises:
            DamagedError: If its blob is not here.
        """
        assert self.code is not None
        code, buffers = large.parts_of(self.digest) if self.digest else (b"", [])
        return code or self.code, buffers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.load()(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        code, digest = self.traveling(self.load)
        named = (self.name, code, self.by_value, self.python)
        return self.with_kinds(_rebuild, (*named, digest) if digest else named)

    def with_kinds(self, rebuild: Any, named: tuple[Any, ...]) -> tuple[Any, ...]:
        """What it is pickled as: what rebuilds it, and its kinds if it has any."""
        return (rebuild, named, {"kinds": self.kinds}) if self.kinds else (rebuild, named)

    def traveling(self, load: Callable[[], Any]) -> tuple[bytes | None, str]:
        """The code and digest with which it is pickled; ``load``: what the code is made of anew, if need be."""
        freed = self.code == b"" and self._loaded is not None
        if self.apart is None and (self.digest or freed):  # nobody writes that blob where this goes
            return codec.dumps(load(), f"the function {self.name}", with_sources=True), ""
        return self.code, self.digest

    def __repr__(self) -> str:
        return f"<Function {self.name} {'by value' if self.by_value else 'by name'}>"


def _rebuild(name: str, code: bytes | None, by_value: bool, python: str, digest: str = "") -> Function:
    return Function(name, code, by_value=by_value, python=python, digest=digest)


def display_name(target: Any) -> str:
    """What people call the function: ``compute``, ``np.sqrt`` or ``partial(compute)``."""
    inner = getattr(target, "func", None)
    if inner is not None and not hasattr(target, "__name__"):
        return f"{type(target).__name__}({display_name(inner)})"
    name = getattr(target, "__qualname__", None) or getattr(target, "__name__", None) or type(target).__name__
    return str(name).replace("<locals>.", "")


def for_rq(target: Any) -> Any:
    """The function as ``rq.Queue.enqueue`` should get it: itself where RQ can import it by name, its dotted path.

    Raises:
        PickleError: If it must travel by value and can't be pickled.
    """
    if isinstance(target, str):
        return names.dotted(target) or target
    if isinstance(target, (Function, type)) or not callable(target):
        return target  # RQ says what it thinks of a class or a non-callable
    if not inspect.isroutine(target) and getattr(target, "__module__", None) != "__main__":
        return target  # a callable object: RQ sends it as an instance, through our codec
    if is_importable(target):
        return target
    function = Function.of(target)
    return function if function.by_value else target


def check_callbacks(options: Mapping[str, Any]) -> None:
    """See that workers can find the callbacks, which are sent by name, whatever the function itself is.

    Args:
        options: Of a job or map; of these ``on_success``, ``on_failure`` and ``on_stopped``, as RQ takes them.

    Raises:
        OptionError: If one is of a script or a shell, or within another function.
    """
    for option in CALLBACKS:
        if given := options.get(option):
            _check_callback(option, getattr(given, "func", given))


def _check_callback(option: str, function: Any) -> None:
    if not inspect.isroutine(function):
        return
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module == "__main__" or "<" in name:
        where = "of __main__" if module == "__main__" else "within another function"
        raise OptionError(
            f"{option}: callbacks are sent by name, and no worker finds {name}, for it is {where}. Put it into a "
            "module that workers can import"
        )


def is_importable(target: Any) -> bool:
    """Whether it is a module's own function, which pickle sends by name: to pickle it takes ten times as long."""
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    found = getattr(module, getattr(target, "__qualname__", ""), None)
    return found is target and module is not sys.modules["__main__"] and not list_registry_pickle_by_value()
