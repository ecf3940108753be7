"""The keys by which calls of a ``Parallel`` are known again: what counts for them, and what is refused."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskq import OptionError
from taskq.fronts.parallel.known import Known
from taskq.testing import make_fake_queue
from tests import jobs


def key(function: Any, *args: Any, **kwargs: Any) -> str:
    return Known().key((function, args, kwargs))


class Model:
    """As an estimator is."""

    def __init__(self, depth: int = 1, seed: Any = 0, verbose: int = 0, inner: Any = None) -> None:
        self.depth, self.seed, self.verbose, self.inner = depth, seed, verbose, inner

    def get_params(self, **_deep: bool) -> dict[str, Any]:
        return {"depth": self.depth, "seed": self.seed, "verbose": self.verbose, "inner": self.inner}

    def fit(self) -> None:
        self.fitted_ = object()


class Other(Model):
    pass


def fit_and_score(*args: Any, **kwargs: Any) -> None:
    """Stands for scikit-learn's."""


fit_and_score.__module__ = "sklearn.model_selection"


def test_equal_calls_have_the_same_key() -> None:
    table = np.arange(400_000.0)
    assert key(jobs.add, 1, b=2) == key(jobs.add, 1, b=2)
    assert key(jobs.add, table, b=[1]) == key(jobs.add, table.copy(), b=[1])
    assert key(jobs.add, {"a": 1, "b": 2}) == key(jobs.add, {"b": 2, "a": 1})
    assert key(jobs.add, Model(2)) == key(jobs.add, Model(2, verbose=5))
    fitted = Model(2)
    fitted.fit()
    assert key(jobs.add, fitted) == key(jobs.add, Model(2))


@pytest.mark.parametrize(
    "other",
    [
        (jobs.square, (Model(1), 7), {}),
        (jobs.add, (Model(2), 7), {}),
        (jobs.add, (Other(1), 7), {}),
        (jobs.add, (Model(1, inner=Model(5)), 7), {}),
        (jobs.add, (Model(1), 8), {}),
        (jobs.add, (Model(1),), {"b": 7}),
        (jobs.add, (7, Model(1)), {}),
        (functools.partial(jobs.add, 1), (Model(1), 7), {}),
        (lambda *_: 1, (Model(1), 7), {}),
    ],
)
def test_others_have_others(other: Any) -> None:
    assert Known().key(other) != key(jobs.add, Model(1), 7)


def test_code_counts() -> None:
    def made(n: int) -> Any:
        return lambda x: x + n

    assert key(made(1), 5) == key(made(1), 5)
    assert key(made(1), 5) != key(made(2), 5)
    assert key(jobs.add, made(1)) != key(jobs.add, made(2))


def test_arrays_count_by_what_they_hold() -> None:
    small, large = np.zeros(10), np.zeros(400_000)
    for table in (small, large):
        changed = table.copy()
        changed[-1] = 1
        assert key(jobs.add, table) != key(jobs.add, changed)
        assert key(jobs.add, table) != key(jobs.add, table.reshape(2, -1))
        assert key(jobs.add, table) != key(jobs.add, table.astype(np.int64))


def test_what_is_shared_counts_by_what_it_holds() -> None:
    queue = make_fake_queue()
    one, again, other = (queue.share(table) for table in ([1, 2], [1, 2], [1, 3]))
    assert key(jobs.add, one, b=[one]) == key(jobs.add, again, b=[again])
    assert key(jobs.add, one) != key(jobs.add, other)


def test_the_same_call_twice_is_two_calls() -> None:
    known = Known()
    first, second = (known.key((jobs.compute, (1,), {})) for _ in range(2))
    again = Known()
    assert first != second
    assert [again.key((jobs.compute, (1,), {})) for _ in range(2)] == [first, second]


def test_a_large_array_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, table, read = Known(), np.zeros(400_000), []
    digest = Known._digest

    def counted(self: Known, function: Any, what: str, value: Any) -> str:
        before = len(self._large)
        told = digest(self, function, what, value)
        read.append(len(self._large) - before)
        return told

    monkeypatch.setattr(Known, "_digest", counted)
    for n in range(3):
        known.key((jobs.add, (table, n), {}))
    assert sum(read) == 1


def test_who_calls_and_what_is_printed_does_not_count() -> None:
    class Search:
        _checked_cv_orig = None

    told = {"parameters": {"depth": 1}, "train": np.arange(3)}
    one = key(fit_and_score, Model(), caller=Search(), callback_ctx=object(), verbose=3, **told)
    assert one == key(fit_and_score, Model(), caller=Search(), verbose=0, split_progress=(1, 3), **told)
    assert one != key(fit_and_score, Model(), caller=None, **{**told, "parameters": {"depth": 2}})
    assert one != key(fit_and_score, Model(), caller=None, **{**told, "train": np.arange(1, 4)})
    assert key(jobs.add, verbose=1) != key(jobs.add, verbose=2)


class Splitter:
    random_state = None

    def __init__(self, *, shuffle: bool) -> None:
        self.shuffle = shuffle


def test_what_draws_something_else_each_time_is_refused() -> None:
    drawn = np.random.RandomState()
    for args in (
        (drawn,),
        (Model(seed=drawn),),
        ([{"a": Model(inner=Model(seed=drawn))}],),
        (np.random.default_rng(),),
    ):
        with pytest.raises(OptionError, match="has no seed: it draws something else in each run"):
            key(jobs.add, *args)
    for mine in (random.Random(), Model(seed=random.SystemRandom())):
        with pytest.raises(OptionError, match="does not tell whether it was given a seed"):
            key(jobs.add, mine)
    assert key(jobs.add, np.random.RandomState(3)) == key(jobs.add, np.random.RandomState(3))
    assert key(jobs.add, np.random.default_rng(3)) != key(jobs.add, np.random.default_rng(4))


def test_a_search_that_splits_or_samples_at_random_is_refused() -> None:
    class Search(Model):
        _checked_cv_orig = Splitter(shuffle=False)

        def get_params(self, **_deep: bool) -> dict[str, Any]:
            return {"random_state": self.seed}

    assert key(fit_and_score, caller=Search())
    with pytest.raises(OptionError, match=r"Search\(random_state=None\) has no seed"):
        key(fit_and_score, caller=Search(seed=None))
    search = Search()
    search._checked_cv_orig = Splitter(shuffle=True)
    with pytest.raises(OptionError, match=r"cv=Splitter\(random_state=None\) has no seed"):
        key(fit_and_score, caller=search)


def test_what_has_no_digest_is_named() -> None:
    with pytest.raises(OptionError, match=r"argument 1 of add has no digest .*generator"):
        key(jobs.add, 1, (n for n in range(3)))
    with pytest.raises(OptionError, match="table of add has no digest"):
        key(jobs.add, table=(n for n in "a"))


ROOT = Path(__file__).parents[2]
_PRINTS = """
import numpy as np
from taskq.fronts.parallel.known import Known
from taskq.testing import make_fake_queue
from tests import jobs
from tests.unit.test_known_calls import Model
print(Known().key((jobs.add, (Model(3), {"a", "b", "c"}, np.arange(5)), {"x": None})))
"""


def test_another_process_has_the_same_keys() -> None:
    command = [sys.executable, "-c", _PRINTS]
    said = {subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(said) == 1
