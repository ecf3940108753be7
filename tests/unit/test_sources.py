"""Tracebacks of functions sent by value show their source lines."""

from __future__ import annotations

import inspect
import linecache
import traceback
from pathlib import Path
from typing import Any

import pytest

from taskq.payload import sources
from taskq.payload.function import Function
from tests.unit import script

SCRIPT = '''import functools, sys
from dataclasses import dataclass
from taskq.payload.function import Function

def helper(n):
    return 1 / (
        n - n
    )  # the helper's end

@dataclass
class Point:
    x: int
    def fail(self, n):
        return helper(n)  # in a method

def function(n):
    """With a text."""
    inner = lambda m: Point(m).fail(n)  # in a lambda
    return inner(n)

if __name__ == "__main__":
    import pickle
    sys.stdout.buffer.write(pickle.dumps(Function.of(function)))
'''
FAILS = """
import inspect, pickle, sys, traceback
function = pickle.loads(sys.stdin.buffer.read())
try:
    function(1)
except ZeroDivisionError:
    print(traceback.format_exc())
print(inspect.getsource(function.load()))
"""


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    sources._kept.clear()


def test_a_traceback_of_a_worker_shows_the_lines_of_a_script(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    pushed = script.run(path)
    path.unlink()
    text = script.run(FAILS, stdin=pushed).decode()
    lines = SCRIPT.splitlines()
    for line in ("    return 1 / (", "        return helper(n)  # in a method", "    return inner(n)"):
        assert line.strip() in text
        assert f"line {lines.index(line) + 1}, in " in text
    assert "inner = lambda m: Point(m).fail(n)  # in a lambda" in text
    assert f'File "<{path}#' in text
    body = lines[lines.index("def function(n):") + 2 :][:2]
    assert text.rstrip().endswith('"""With a text."""\n' + "\n".join(body))


def test_a_cell_of_ipython(tmp_path: Path) -> None:
    program = (
        "import pickle, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell('def cell(n):\\n    return n / 0  # in a cell', store_history=True)\n"
        "from taskq.payload.function import Function\n"
        "sys.stdout.buffer.write(pickle.dumps(Function.of(shell.user_ns['cell'])))\n"
    )
    path = tmp_path / "ipython.py"
    path.write_text(program)
    assert "return n / 0  # in a cell" in script.run(FAILS, stdin=script.run(path)).decode()


def defined(path: Path, code: str) -> Any:
    """The function ``f`` of a script that holds this code."""
    path.write_text(code)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, str(path), "exec"), scope)  # noqa: S102 - that is what a script is
    return scope["f"]


def test_two_versions_of_a_file_are_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    first = Function.of(defined(path, "def f():\n    return 1 // 0  # first"))
    second = Function.of(defined(path, "# more\ndef f():\n    return 1 // 0  # second"))
    assert "# first" in inspect.getsource(first.load())
    assert "# second" in inspect.getsource(second.load())
    assert "# first" in inspect.getsource(first.load())


def test_a_function_that_came_by_value_goes_on_with_its_lines(tmp_path: Path) -> None:
    once = Function.of(defined(tmp_path / "script.py", "def f():\n    return 1 // 0  # here")).load()
    again = Function.of(once).load()
    assert again is not once
    assert "# here" in inspect.getsource(again)


def test_what_is_too_long_goes_without_lines(tmp_path: Path) -> None:
    code = f"def f(n):\n    # {'x' * sources.MOST}\n    return n + 'x'\n"
    function = Function.of(defined(tmp_path / "script.py", code))
    assert len(function.code or b"") < 2000
    with pytest.raises(TypeError) as caught:
        function(1)
    assert "return n + 'x'" not in "".join(traceback.format_exception(caught.value))


def test_code_without_a_file_goes_without_lines() -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): return 3", scope)  # noqa: S102 - as typed into a shell
    assert Function.of(scope["f"])() == 3


def test_only_so_many_lines_are_kept() -> None:
    for number in range(2 * sources.FILES):
        sources.know(f"<{number}>", 10, ["x\n"])
    assert len(sources._kept) == sources.FILES
    assert linecache.getline("<0>", 10) == ""
    assert linecache.getline(f"<{2 * sources.FILES - 1}>", 10) == "x\n"
    sources.know("<far>", sources.KEPT, ["y\n"])
    assert list(sources._kept) == ["<far>"]
    sources.know("<too far>", sources.KEPT + 1, ["z\n"])
    assert linecache.getline("<too far>", sources.KEPT + 1) == ""
