"""CPython's own tests of ``multiprocessing.Pool`` and ``concurrent.futures``, on taskq's.

Runs in the Python whose tests they are, with ``TASKQ_URL`` set; ``scripts/fronts_suite.py`` starts it.

    python run.py pool|executor [part of a test's name]
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import tomllib
import unittest
from pathlib import Path

import cases

LISTED = Path(__file__).with_name("not_applicable.toml")


class Result(unittest.TextTestResult):
    """Says of each test how long it took."""

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        self.began = time.perf_counter()
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().stopTest(test)
        self.stream.writeln(f"    {time.perf_counter() - self.began:.1f} s")


def main() -> int:
    front, part = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    listed = tomllib.loads(LISTED.read_text(encoding="utf-8"))[front]
    reasons = {name: reason for reason, names in listed.items() for name in names}
    suite, left_out = unittest.TestSuite(), []
    if front == "pool":
        multiprocessing.Pool = cases.pool  # type: ignore[method-assign, assignment]
    for case in cases.of(front):
        setattr(cases, case.__name__, case)
        chosen = []
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            name = f"{case.__name__}.{test._testMethodName}"
            if name in reasons:
                left_out.append(name)
            elif part in name:
                chosen.append(test)
        if chosen:
            suite.addTest(unittest.TestSuite(chosen))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, failfast=False).run(suite)
    bad = len(result.failures) + len(result.errors)
    version = ".".join(map(str, sys.version_info[:3]))
    print(
        f"{front} on Python {version}: {result.testsRun - bad - len(result.skipped)} of {result.testsRun} passed, "
        f"{len(result.skipped)} skipped by themselves, {len(left_out)} can't apply"
    )
    return int(bool(bad or not result.testsRun))


if __name__ == "__main__":
    sys.exit(main())
