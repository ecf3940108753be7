"""docs/troubleshooting.md: every message that a user can meet has its row, and no row is of one that is gone.

A row is of a message if the message is what the row says, with anything where the row has a ``…``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import taskq.errors
from taskq_workers.cli import diagnosis
from taskq_workers.manager import health
from taskq_workers.service import server_check, version
from tests.unit import source

PAGE = (source.ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
_LEVELS = {"warning", "error", "exception", "critical", "log"}
_SPEC = re.compile(r"%[-.\d]*[sdrfgi]")


def section(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def is_of(row: str, message: str) -> bool:
    parts = [re.escape(part) for part in row.strip("` ").split("…")]
    return re.fullmatch(".*".join(parts), message, re.DOTALL) is not None


def test_every_error_has_its_row_and_no_other() -> None:
    public = [
        name
        for name, one in vars(taskq.errors).items()
        if isinstance(one, type)
        and issubclass(one, taskq.errors.TaskqError)
        and one is not taskq.errors.TaskqError
    ]
    told = rows(section("What your program is told").partition("While `get()`")[0])
    assert [row[0].strip("` ") for row in told] == public, "in the order of the tree"
    for row in told:
        assert len(row) == 3
        assert row[1]


def said(function: ast.AST) -> Iterator[str]:
    """The texts that a function has, with a ``…`` for what is not known before."""
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr):
            yield "".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def findings() -> Iterator[str]:
    """What ``taskq doctor`` says of what is wrong."""
    for node in ast.walk(ast.parse(Path(diagnosis.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            what = next(said(node.args[0]), "")
            if len(node.args) > 1 and not (set(what) <= {"…"} or what == "the server: …"):
                yield what
    for module, names in ((server_check, {"findings"}), (health, {"look"}), (version, {"others", "notes"})):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        before = "the server: " if module is server_check else ""
        for function in [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name in names]:
            for text in said(function):
                is_said = "Remedy: " in text if module is server_check else len(text) > 25
                if is_said and text != ast.get_docstring(function, clean=False):
                    yield before + text.partition(". Remedy:")[0]
    yield (
        "… maps have not ended that another version of taskq has pushed, and that this one (schema …) can't run: …"
    )


def whole(texts: list[str]) -> list[str]:
    """Without those that are a part of another one."""
    return [one for one in texts if not any(one != other and one in other for other in texts)]


def test_every_finding_has_its_row_and_no_other() -> None:
    assert all(len(row) == 3 and all(row) for row in rows(section("What taskq doctor finds")))
    told = [row[0] for row in rows(section("What taskq doctor finds"))]
    found = whole([*findings()])
    assert len(found) > 18
    missing = [one for one in found if not any(is_of(row, one) for row in told)]
    assert not missing, "a finding has no row"
    gone = [row for row in told if not any(is_of(row, one) for one in found)]
    assert not gone, "nothing finds that any more"


def logged() -> Iterator[tuple[str, str]]:
    """(action, message) of each line at warning and above."""
    for path in source.files("taskq", "workers"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in _LEVELS or ast.unparse(node.func.value) != "log":
                continue
            first = node.args[1 if node.func.attr == "log" else 0]
            message = ast.literal_eval(first) if isinstance(first, ast.Constant) else ""
            [extra] = [one.value for one in node.keywords if one.arg == "extra"]
            assert isinstance(extra, ast.Dict)
            actions = {
                ast.literal_eval(key): value for key, value in zip(extra.keys, extra.values, strict=True) if key
            }
            for action in said(actions["action"]):
                yield action, _SPEC.sub("…", message)


def test_every_line_of_the_log_has_its_row_and_no_other() -> None:
    assert all(len(row) == 4 and all(row) for row in rows(section("What a worker logs")))
    told = [
        (action, row[1])
        for row in rows(section("What a worker logs"))
        for action in re.findall(r"`(\w+)`", row[0])
    ]
    found = {*logged()}
    assert len(found) > 60
    missing = [(act, text) for act, text in found if not any(act == one and is_of(row, text) for one, row in told)]
    assert not missing, "a line has no row"
    gone = [(act, row) for act, row in told if not any(act == one and is_of(row, text) for one, text in found)]
    assert not gone, "nothing says that any more"


def test_the_troubles_of_a_service_are_what_services_say() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in source.files("workers"))
    for row in rows(section("The troubles of a service")):
        longest = max(re.split(r"…|takes nothing: ", row[0].strip("` ")), key=len).strip(" .,")
        assert longest in code.replace('"\n    "', ""), longest


def test_pages_that_messages_name_are_there() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in source.files("taskq", "workers"))
    for page in set(re.findall(r"docs/\w+\.md", code)):
        assert (source.ROOT / page).exists(), page
    for word, page in re.findall(r"see (\w+_\w+) in (docs/\w+\.md)", code):
        assert word in (source.ROOT / page).read_text(encoding="utf-8"), (word, page)
