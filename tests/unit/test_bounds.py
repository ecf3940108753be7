"""No test has a bound of its own, which a busy machine would reach: see ``tests/waiting.py``."""

from __future__ import annotations

import re

import pytest

from tests.unit import source
from tests.waiting import HANGS

BOUND = re.compile(r"(?<![a-z_])timeout=(\d+(?:\.\d+)?)(?=[,)\]])|\.(?:wait|join|communicate)\((\d+(?:\.\d+)?)\)")
LIMITS = ("Callback(", "Webhook(", "prepare_data(", "connect(", "set_timeout(", "one.wait(")
"""What has a limit in the product, which is what is tested; and the wait of ``Respawn``."""
VIRTUAL = "simulation"
"""The folder of tests whose time is not the machine's."""


def bounds_in(text: str) -> list[str]:
    """The lines of a test that wait for less than what may hang does."""
    return [
        line.strip()
        for line in text.splitlines()
        if not any(limit in line for limit in LIMITS)
        and any(0 < float(one or other) < HANGS for one, other in BOUND.findall(line))
    ]


@pytest.mark.parametrize(
    "line",
    ["job.get(timeout=20)", "subprocess.run(x, timeout=5.0)", "thread.join(10)", "wait_until(x, timeout=0.5)"],
)
def test_a_bound_is_found(line: str) -> None:
    assert bounds_in(f"def test():\n    {line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    ["job.get(timeout=HANGS)", "f(job_timeout=1)", "Callback(f, timeout=9)", "job.wait(timeout=0)", "x.join()"],
)
def test_what_is_none(line: str) -> None:
    assert bounds_in(line) == []


def test_no_test_has_one() -> None:
    files = [path for path in source.files("tests") if VIRTUAL not in path.parts and path.name != "test_bounds.py"]
    found = {str(path.relative_to(source.ROOT)): bounds_in(path.read_text()) for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
