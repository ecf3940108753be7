"""What ``make ecosystem`` says of packages: what can't be installed is told, and every one is in the docs."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.unit import source


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("ecosystem", source.ROOT / "scripts/ecosystem.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ecosystem", module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_every_package_has_a_module_and_a_row(script: ModuleType) -> None:
    docs = (source.ROOT / "docs/rq.md").read_text(encoding="utf-8").partition("## Other packages")[2]
    for package in script.PACKAGES:
        module = package.lower().replace("-", "_")
        assert f'package="{package}"' in (source.ROOT / f"tests/ecosystem/{module}.py").read_text(encoding="utf-8")
        assert f"\n| {package} | " in docs
        assert f"\n- **{package}**: " in docs


def test_what_can_not_be_installed_is_a_row_with_the_reason(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_package: str) -> None:
        raise script.NotInstalled("it wants rq<3")

    monkeypatch.setattr(script, "python_of", refuse)
    assert script.run("old") == script.Outcome(["old", "", "not installed: it wants rq<3", "", ""], good=True)


CONFLICT = """\
Collecting old
The conflict is caused by:
    old 1.0 depends on rq<3
    taskq-pool 0.1.0 depends on rq<4 and >=3.0

To fix this you could try to:
"""


@pytest.mark.parametrize(
    ("output", "errors", "reason"),
    [
        (CONFLICT, "ERROR: Impossible", "old 1.0 depends on rq<3; taskq-pool 0.1.0 depends on rq<4 and >=3.0"),
        ("", "WARNING: slow\nERROR: No such thing\nERROR: Give up", "No such thing"),
        ("", "", "pip has not said why"),
    ],
)
def test_the_reason_is_pip_s(script: ModuleType, output: str, errors: str, reason: str) -> None:
    assert script.reason(output, errors) == reason
