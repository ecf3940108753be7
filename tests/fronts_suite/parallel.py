"""joblib's own tests of ``Parallel``, and scikit-learn's of its searches, with the backend "taskq".

Runs with ``TASKQ_URL`` set, where joblib, or scikit-learn, and pytest are installed; started by
``scripts/fronts_suite.py``. joblib's tests are read from the package as it is installed, with "taskq" in the place
of "loky", and its class in that of loky's; of them run those which say that word. scikit-learn's run as they are,
with it as what is used by all of them.

    python parallel.py joblib|sklearn FOLDER [part of a test's name]

FOLDER is where the changed tests go; the workers look for modules there.
"""

from __future__ import annotations

import importlib
import inspect
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

import taskq.joblib

LISTED = Path(__file__).with_name("not_applicable.toml")
HANGS = 300  # seconds after which a test never ends
CHANGED = {
    '"loky"': '"taskq"',
    "    LokyBackend,\n": "",
    "import joblib\n": "import joblib\nfrom taskq.joblib import TaskqBackend as LokyBackend\n",
}
"""Texts of joblib's test_parallel.py, and what stands in their places."""

SEARCHES = "sklearn.model_selection.tests.test_search"
OPTIONS = [
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--tb=short",
    "-W",
    "ignore",
    "--durations=10",
    "-rfE",
    "-v",
]


class Chosen:
    """Runs the tests that say something about the backend."""

    def __init__(self, suite: str, part: str) -> None:
        listed = tomllib.loads(LISTED.read_text(encoding="utf-8"))[suite]
        self._listed = {name for names in listed.values() for name in names}
        self._suite, self._part = suite, part
        self.left_out = 0
        self.outcomes: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        concerned = [item for item in items if self._suite == "sklearn" or _concerns_us(item)]
        chosen = [item for item in concerned if not {item.name, item.originalname} & self._listed]
        self.left_out = len(concerned) - len(chosen)
        chosen = [item for item in chosen if self._part in item.name]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(HANGS)
        yield
        signal.alarm(0)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            self.outcomes[outcome] += 1


def _late(*_: object) -> None:
    raise TimeoutError(f"the test has not ended after {HANGS} s")


def _concerns_us(item: Any) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    ours = any(one == "taskq" or isinstance(one, taskq.joblib.TaskqBackend) for one in parameters)
    return ours or '"taskq"' in inspect.getsource(item.function)


def main() -> int:
    suite, folder, part = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""
    chosen = Chosen(suite, part)
    if suite == "joblib":
        theirs = Path(importlib.import_module("joblib.test.test_parallel").__file__ or "")
        ours = Path(folder) / "test_parallel_of_joblib.py"
        text = theirs.read_text(encoding="utf-8")
        for before, after in CHANGED.items():
            assert before in text, before
            text = text.replace(before, after)
        ours.write_text(text, encoding="utf-8")
        # Programs that tests start, and processes of other backends, know the backend, too.
        (Path(folder) / "sitecustomize.py").write_text("import taskq.joblib\n", encoding="utf-8")
        pytest.main([*OPTIONS, "-c", "/dev/null", "--rootdir", folder, str(ours)], [chosen])
    else:
        with joblib.parallel_config("taskq", n_jobs=2):
            pytest.main([*OPTIONS, "-c", "/dev/null", "--pyargs", SEARCHES], [chosen])
    count, version = chosen.outcomes, importlib.import_module(suite).__version__
    ran = sum(count.values())
    skipped = count["skipped"] + count["xfailed"]
    print(
        f"{suite} {version} on Python {'.'.join(map(str, sys.version_info[:3]))}: {count['passed']} of {ran} "
        f"passed, {skipped} skipped by themselves, {chosen.left_out} can't apply"
    )
    return int(not ran or count["passed"] + skipped < ran)


if __name__ == "__main__":
    sys.exit(main())
