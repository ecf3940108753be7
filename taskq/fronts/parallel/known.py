"""The key under which the result of a call is remembered: the same in each run of a program, for the same call.

It is a digest of the function and of all arguments, made by joblib's own hasher. Of scikit-learn's functions those
arguments don't count that only say who calls and what is printed. An estimator is its class and its parameters.
"""

from __future__ import annotations

import functools
import random
import sys
import sysconfig
import types
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from joblib.hashing import NumpyHasher

from taskq.errors import OptionError
from taskq.fronts.parallel.batch import Call
from taskq.payload import code_hash, large
from taskq.payload.function import display_name
from taskq.payload.large import LEAST

_SAYS_NOTHING = frozenset({"caller", "callback_ctx", "verbose", "split_progress", "candidate_progress"})
"""Arguments of scikit-learn's functions that change no result; the first two hold all of the search."""

_NO_MATTER = frozenset({"verbose", "n_jobs"})  # parameters of estimators that change no result
_THEIRS = "sklearn"
_INSTALLED = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
_DRAWN = 2**64  # what a generator was seeded with is above that if the system has drawn it


class Known:
    """The keys of the calls of one ``Parallel``; a call that comes twice has two."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._large: dict[int, tuple[weakref.ref[Any], str]] = {}  # by ``id``: an object is not changed meanwhile

    def key(self, call: Call) -> str:
        """The key of a call.

        Raises:
            OptionError: If it has none, for what it is called with is another in each run.
        """
        function, args, kwargs = call
        function = _bare(function)
        theirs = _is_theirs(function)
        named = {name: value for name, value in kwargs.items() if not (theirs and name in _SAYS_NOTHING)}
        if theirs:
            _check_search(kwargs.get("caller"))
        told = [self._digest(function, "the function", function)]
        told += [self._digest(function, f"argument {n}", value) for n, value in enumerate(args)]
        told += [f"{name} {self._digest(function, name, value)}" for name, value in sorted(named.items())]
        digest = _Hasher(function, "its arguments").hash(told)
        self._seen[digest] += 1
        return digest if self._seen[digest] == 1 else f"{digest}.{self._seen[digest]}"

    def _digest(self, function: Any, what: str, value: Any) -> str:
        if _size(value) < LEAST:
            return _Hasher(function, what).hash(value)
        found = self._large.get(id(value))
        if found is not None and found[0]() is value:
            return found[1]
        digest = _Hasher(function, what).hash(value)
        self._large[id(value)] = weakref.ref(value), digest
        return digest


def _bare(function: Any) -> Any:
    """What scikit-learn's ``delayed`` has wrapped: it adds the configuration, and the filters of warnings."""
    inner = getattr(function, "function", None)
    return inner if _is_theirs(type(function)) and callable(inner) else function


def _is_theirs(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == _THEIRS


def _size(value: Any) -> int:
    """Bytes of an array, a table or a sparse matrix; 0 of anything else."""
    if isinstance(size := getattr(value, "nbytes", None), int):
        return size
    if isinstance(size := getattr(getattr(value, "data", None), "nbytes", None), int) and hasattr(value, "shape"):
        return size
    if callable(used := getattr(value, "memory_usage", None)) and hasattr(value, "shape"):
        return int(sum(used(deep=False))) if len(value.shape) > 1 else int(used(deep=False))
    return 0


def _check_search(search: Any) -> None:
    """Refuse a search that tries other candidates, or other splits, each time.

    Raises:
        OptionError: Says which, and what to do.
    """
    if search is None:
        return
    parameters = search.get_params(deep=False) if _is_estimator(search) else {}
    if "random_state" in parameters and parameters["random_state"] is None:
        raise _no_seed(f"{type(search).__name__}(random_state=None)")
    splitter = getattr(search, "_checked_cv_orig", None)
    missing = object()
    if getattr(splitter, "random_state", missing) is None and getattr(splitter, "shuffle", True):
        raise _no_seed(f"cv={type(splitter).__name__}(random_state=None)")


def _no_seed(what: str) -> OptionError:
    return OptionError(
        f"{what} has no seed: it draws something else in each run, so there is nothing that could be resumed. "
        "Give it a random_state that is a number, or leave resume= out"
    )


def _is_estimator(value: Any) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "get_params", None)) and hasattr(value, "fit")


class _Hasher(NumpyHasher):
    """joblib's hasher, for which an estimator is its class and its parameters, and a function its code."""

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        super().__init__(hash_name="sha256")
        self._function, self._what = function, what

    def hash(self, obj: Any, return_digest: bool = True) -> str:
        """The digest.

        Raises:
            OptionError: If there is none.
        """
        del return_digest
        try:
            with large.comparing():
                return str(super().hash(obj))
        except OptionError:
            raise
        except Exception as error:  # whatever classes of the user's raise when they are pickled
            raise OptionError(
                f"{self._what} of {display_name(self._function)} has no digest by which another run would know it "
                f"again ({type(error).__name__}: {error}): leave resume= out, or pass plain data, arrays, "
                "estimators and functions"
            ) from error

    def save(self, obj: Any) -> None:
        """As pickle's; called for each object in it."""
        if isinstance(obj, random.Random):
            raise self._unknown_seed(obj)
        if isinstance(obj, self.np.random.RandomState | self.np.random.Generator):
            self._check_seed(obj)
        elif isinstance(obj, types.FunctionType):
            obj = ("function", obj.__module__, obj.__qualname__, _code(obj))
        elif isinstance(obj, type):
            obj = ("class", obj.__module__, obj.__qualname__, _code(obj))
        elif _is_estimator(obj):
            parameters = obj.get_params(deep=False)
            kept = sorted((name, value) for name, value in parameters.items() if name not in _NO_MATTER)
            obj = ("estimator", type(obj), kept)
        super().save(obj)

    def _unknown_seed(self, drawn: random.Random) -> OptionError:
        """Python's own generators keep nothing by which to tell one that was seeded from one that was not."""
        return OptionError(
            f"a {type(drawn).__name__} of Python's random in {self._what} of {display_name(self._function)} does "
            "not tell whether it was given a seed; without one it draws something else in each run, so there is "
            "nothing that could be resumed. Pass a number, and make random.Random(number) in the function, or "
            "leave resume= out"
        )

    def _check_seed(self, drawn: Any) -> None:
        bits = drawn.bit_generator if hasattr(drawn, "bit_generator") else drawn._bit_generator  # noqa: SLF001
        seed = getattr(bits, "_seed_seq", None)  # of a RandomState: only if nobody has seeded it
        entropy = getattr(seed, "entropy", None)
        if isinstance(entropy, int) and entropy >= _DRAWN:
            raise _no_seed(f"a {type(drawn).__name__} in {self._what} of {display_name(self._function)}")


def _code(target: Any) -> str:
    """What tells a version of a function or a class from others: of a package's, that of the package."""
    name = str(target.__module__).partition(".")[0]
    if name in sys.stdlib_module_names and name != "__main__":
        return sys.version
    root = sys.modules.get(name)
    version = getattr(root, "__version__", None)
    if isinstance(version, str) and str(getattr(root, "__file__", "")).startswith(_INSTALLED):
        return version
    if isinstance(target, types.FunctionType) and target.__closure__:
        return code_hash.of(target)
    return _code_of(target)


@functools.lru_cache(1000)
def _code_of(target: Any) -> str:
    return code_hash.of(target)
