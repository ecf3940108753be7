"""The one codec: how every value becomes bytes, and how bytes become a value again.

Plain pickle (protocol 5) is tried first, since it is several times faster. Two things need code sent by value
(``by_value.py``): what pickle refuses (lambdas, closures), and what pickle would send as a mere reference to
``__main__``, which in a worker is another program. Both ways are read back by ``pickle.loads``.

``at`` gives the codec of one place in Redis: with a secret key (``signing.py``) what it writes is signed for that
place, and what it reads is checked before it is unpickled. Without one it is just ``dumps`` and ``loads``.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from cloudpickle import list_registry_pickle_by_value

from taskq.errors import DamagedError, PickleError, ResultsGoneError, SignatureError, UnsendableError
from taskq.payload import by_value, proxies, signing, stuck

PROTOCOL = by_value.PROTOCOL
DEFAULT_LIMIT = 64 * 1024 * 1024  # bytes: one chunk of items, or one result

_MAIN = b"_main_"  # also of ``__mp_main__``, as multiprocessing calls it in a child
_REBUILDS = (b"cloudpickle.cloudpickle", b"taskq.payload.by_value")  # the modules whose constructors rebuild code
ATOMS = frozenset([type(None), bool, int, float, str, bytes])  # whatever they hold, it names nothing
_LONG = 1 << 14  # bytes which it costs time to search


class Takes(Protocol):
    """Takes buffers that are to leave a pickle: see ``large.Apart``."""

    buffers: list[memoryview]

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether it is to stay in the pickle."""


def dumps(value: Any, what: str | None = "value", with_sources: bool = False, apart: Takes | None = None) -> bytes:
    """Pickle a value so that any worker can read it.

    Args:
        value: Anything that pickle or cloudpickle can serialize.
        what: What to call it in the error, e.g. ``"item 7"``. None: nobody reads that, and nothing is looked for.
        with_sources: Whether functions that go by value take their source lines along.
        apart: Takes the large buffers; ``loads`` needs them again. None: all is in the pickle.

    Raises:
        PickleError: If neither can serialize it; says what in it that is, and where.
        ResultsGoneError: If a shared object is in it that was unshared.
        UnsendableError: If something of multiprocessing is in it that can't be used where it arrives.
    """
    if type(value) in ATOMS:
        return pickle.dumps(value, PROTOCOL)
    try:
        data = pickle.dumps(value, PROTOCOL, buffer_callback=apart.take if apart else None)
    except Exception:  # noqa: BLE001 - __reduce__ may raise anything; cloudpickle has the last word
        return dumps_by_value(value, what, with_sources, apart)
    if len(data) > _LONG and is_array(value):
        return data
    proxies.check(value, data, what or "value")
    if _MAIN in data or list_registry_pickle_by_value():
        return dumps_by_value(value, what, with_sources, apart)
    return data


def is_array(value: Any) -> bool:
    """Whether it is a NumPy array of numbers: large, and always readable, so its bytes need not be searched."""
    dtype = getattr(value, "dtype", None) if type(value).__module__ == "numpy" else None
    return dtype is not None and not dtype.hasobject


def dumps_by_value(
    value: Any, what: str | None = "value", with_sources: bool = False, apart: Takes | None = None
) -> bytes:
    """As ``dumps``, with the code of functions and classes of ``__main__`` included.

    Raises:
        PickleError: If cloudpickle can't serialize the value.
    """
    if apart is not None:
        apart.buffers.clear()  # of what pickle had begun
    try:
        data = by_value.dumps(value, with_sources=with_sources, take=apart.take if apart else None)
    except ResultsGoneError:  # of a shared object, which says itself what is the matter
        raise
    except Exception as error:
        if (refused := proxies.of_lock(value, what or "value", error)) is not None:
            raise refused from error
        deep = isinstance(error.__cause__ or error, RecursionError)  # no part of it is to blame
        found = stuck.of(value, what) if what and not deep else stuck.Stuck(what or "value", value)
        raise PickleError(_says(found.path, found.part, error)) from error
    proxies.check(value, data, what or "value")
    return data


def _says(path: str, part: Any, error: BaseException | None) -> str:
    why = f"{type(error).__name__}: {error}. " if error else ""
    return (
        f"{path} ({type(part).__name__}) can't be pickled: {why}"
        "Send what it is made from (a path, a URL, plain data) and open it inside the function."
    )


def holds_code(data: bytes) -> bool:
    """Whether ``dumps`` sent byte code by value, which only the same minor version of Python can run."""
    return any(name in data for name in _REBUILDS)


_OF_DAMAGE = (pickle.UnpicklingError, EOFError, MemoryError, ValueError, OverflowError, LookupError)


def loads(data: bytes | memoryview, buffers: Iterable[memoryview] = ()) -> Any:
    """The value that ``dumps`` was given. Runs whatever code the bytes ask for, as pickle does.

    Args:
        data: The pickle.
        buffers: Those that have left it.

    Raises:
        SignatureError: If the bytes are signed, and this process has no key.
        DamagedError: If they are no pickle. A ValueError or LookupError of a class that is written in C can't be
            told from it, and is its cause.
        Exception: Whatever else the classes of the value raise, or the import of their modules.
    """
    try:
        # A keyword costs as much as the number that most results are.
        return pickle.loads(data, buffers=buffers) if buffers else pickle.loads(data)
    except _OF_DAMAGE as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # by Python code, so by a class of the value
        if bytes(data[: len(signing.MAGIC)]) == signing.MAGIC:
            raise SignatureError(f"it is signed, and {signing.VARIABLE} is not set here") from None
        raise DamagedError(f"can't be unpickled: {error or type(error).__name__}") from error


def loads_referring(data: bytes, find: Callable[[Any], Any]) -> Any:
    """As ``loads``, of a pickle that refers to objects beside it.

    Args:
        data: The pickle.
        find: Returns the object for what stands in its place.

    Raises:
        As ``loads``; and whatever ``find`` raises.
    """
    try:
        return _Referring(data, find).load()
    except _OF_DAMAGE as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        raise DamagedError(f"can't be unpickled: {error or type(error).__name__}") from error


class _Referring(pickle.Unpickler):
    def __init__(self, data: bytes, find: Callable[[Any], Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._find = find

    def persistent_load(self, pid: Any) -> Any:
        return self._find(pid)


class Codec(Protocol):
    """How the values of one place are written and read."""

    def dumps(self, value: Any, what: str = "value") -> bytes:
        """As ``codec.dumps``, signed if there is a key."""

    def loads(self, data: bytes) -> Any:
        """As ``codec.loads``; before that SignatureError, if there is a key and it is not signed for here."""

    def close(self, pickled: bytes) -> bytes:
        """What ``dumps`` makes of something that is pickled already."""

    def open(self, data: bytes) -> bytes:
        """What ``loads`` unpickles."""


class _Unsigned:
    dumps = staticmethod(dumps)
    loads = staticmethod(loads)

    @staticmethod
    def close(pickled: bytes) -> bytes:
        return pickled

    open = close


class _Signed:
    def __init__(self, seal: signing.Seal) -> None:
        self.close = seal.close
        self.open = seal.open

    def dumps(self, value: Any, what: str = "value") -> bytes:
        return self.close(dumps(value, what))

    def loads(self, data: bytes) -> Any:
        return loads(self.open(data))


def at(*place: str) -> Codec:
    """The codec of a place: what it is, then what it belongs to, e.g. ``at("function", job_id)``."""
    keys = signing.keyring()
    return _Signed(keys.seal(*place)) if keys else _UNSIGNED


_UNSIGNED = _Unsigned()


_JOB = "the job's function or one of its arguments"


def _of_job(data: Any, error: PickleError) -> PickleError:
    """The error which names the argument that can't be pickled, if ``data`` is the call of a job."""
    match data:
        case (str(name), called, tuple(args) | list(args), dict(kwargs)):
            if found := stuck.in_call(tuple(args), kwargs):
                of = getattr(called, "name", name) if name == "__call__" else name
                return UnsendableError(_says(f"{found.path} of {of}", found.part, error.__cause__))
    return PickleError(_says(_JOB, data, error.__cause__))


class Serializer:
    """RQ's serializer interface over this codec, unsigned; a stock RQ worker reads what it writes."""

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        try:
            return dumps(value, None)
        except UnsendableError:
            return dumps(value, _JOB)
        except PickleError as error:
            raise _of_job(value, error) from error.__cause__

    @staticmethod
    def loads(data: bytes, /) -> Any:
        return loads(data)
