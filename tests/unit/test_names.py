"""Paths of functions, and what is said where nothing stands at one."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq import Queue
from taskq.errors import OptionError
from taskq.payload import imports, names
from taskq.payload.function import Function


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package ``shop``, of which one module lacks another, and one is broken."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "tasks": "class Bill:\n    @staticmethod\n    def total(n): return n\n\ndef square(n): return n * n\n",
        "lacks": "import a_library_that_is_not_here\n",
        "broken": "1 / 0\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("path", ["math.sqrt", "math:sqrt", "a.b.c:d", "a:B.c", "a.B.c", "päckchen:gewicht"])
def test_both_forms(path: str) -> None:
    assert names.dotted(path) == path.replace(":", ".")


@pytest.mark.parametrize(
    "path", ["", "sqrt", "math:", ":sqrt", "math.", "a:b:c", "a b:c", "a/b.py:c", "math:1", "a..b"]
)
def test_what_is_none(path: str) -> None:
    assert names.dotted(path) is None
    with pytest.raises(OptionError, match="is not a path such as"):
        Function.of(path)


def test_a_colon_is_as_good_as_a_point(fake_queue: Queue) -> None:
    assert Function.of("math:sqrt").load()(9) == 3.0
    assert fake_queue.map("math:sqrt", [9]).store.info().name == "math.sqrt"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nosuchmodule.f", "there is no module nosuchmodule"),
        ("nosuchmodule.sub.f", "there is no module nosuchmodule"),
        ("shop.task.square", "shop has no attribute 'task'"),
        ("shop.tasks.sqare", "shop.tasks has no attribute 'sqare', did you mean 'square'?"),
        ("shop.tasks.Bill.totl", "shop.tasks.Bill has no attribute 'totl', did you mean 'total'?"),
        ("shop.tasks.Bil.total", "shop.tasks has no attribute 'Bil', did you mean 'Bill'?"),
        ("shop.lacks.f", "the module shop.lacks can't be imported: No module named 'a_library_that_is_not_here'"),
        ("shop.broken.f", "the module shop.broken can't be imported: ZeroDivisionError: division by zero"),
        ("math.sqrt.x", "math.sqrt has no attribute 'x'"),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_is_missing(path: str, why: str) -> None:
    with pytest.raises(ImportError) as caught:
        imports.resolve(path)
    assert str(caught.value).startswith(why)


@pytest.mark.usefixtures("package")
def test_what_is_there() -> None:
    assert imports.resolve("shop.tasks.Bill.total")(3) == 3
    assert imports.resolve("builtins.len")([1]) == 1
