"""Nothing that is shown makes a terminal do anything."""

from __future__ import annotations

import ast
import json
import unicodedata

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import Queue
from taskq.views.escaped import escaped, escaped_json
from taskq_workers import cli
from taskq_workers.cli import reach, said, show, tables
from taskq_workers.json_lines import to_json
from tests import jobs
from tests.unit import source

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NASTY = f"\x1b]52;c;cm0gLXJmIC8=\x07\r\x08\x7f\x9b31m{BIDI}\ud800\U000e0041"


def harmless(text: str, *, lines: bool = False) -> bool:
    kept = "\n\t" if lines else ""
    return not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in BIDI for one in text
                   if one not in kept)  # fmt: skip


@given(st.text() | st.text(st.sampled_from(NASTY + "\n\tab")))
def test_escaped(text: str) -> None:
    assert harmless(escaped(text))
    assert harmless(escaped(text, lines=True), lines=True)
    assert escaped(text, lines=True).count("\n") == text.count("\n")


def test_what_people_write_stays() -> None:
    for text in ("plain", "äöü ß €", "日本語", "שלום", "emoji 👍🏽 👩‍👩‍👧", "a\u00a0b\u202fc"):
        assert escaped(text) == text
    assert escaped("a\x1b[0m\n\u202e\U000e0041") == r"a\x1b[0m\n\u202e\U000e0041"


@given(st.text() | st.text(st.sampled_from(NASTY)))
def test_json_says_the_same(text: str) -> None:
    line = to_json({"a": text})
    assert harmless(line)
    assert json.loads(line) == {"a": text}
    assert escaped_json('"\U000e0041"') == '"\\udb40\\udc41"'


def test_tables_and_texts(capsys: pytest.CaptureFixture[str]) -> None:
    made = tables.table("Title", (tables.Column("one", long=6), tables.Column("two")), [(NASTY, 3)])
    tables.show(made, NASTY, f"two\nlines {NASTY}")
    shown = capsys.readouterr().out
    assert harmless(shown, lines=True)
    assert r"\x1b]52" in shown


def test_every_part_of_a_job_s_view(capsys: pytest.CaptureFixture[str]) -> None:
    view = show.JobView("id", "map", NASTY, NASTY, NASTY, NASTY, NASTY, NASTY, NASTY)
    details = {"function": NASTY, "reason": NASTY, "chunks": None, "workers": {NASTY: 1}, "error": NASTY}
    tables.show(*show._parts(view, details, traceback=True))
    assert harmless(capsys.readouterr().out, lines=True)


def test_ids_that_the_shell_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    server = fakeredis.FakeServer()
    queue = Queue(connection=fakeredis.FakeRedis(server=server))
    fine = queue.map(jobs.square, [1], job_id="abc")
    queue.connection.hset(fine.key, "description", "x\x1b[31m\ny")
    for name in ("a b", "a;rm -rf ~", "a$(reboot)", "a\nb", "a`x`"):
        queue.connection.hset(f"rq:job:{name}", mapping={"taskq": "map", "status": "queued"})
        queue.connection.hset(f"taskq:{{{name}}}", mapping={"name": "n", "total": 1})
        queue.connection.rpush(queue.key, name)
    monkeypatch.setattr(reach, "connect", lambda *_args, **_options: fakeredis.FakeRedis(server=server))

    class Context:
        params: dict[str, str] = {}  # noqa: RUF012 - as click has it

    items = reach.complete_id(Context(), None, "a")  # type: ignore[arg-type]
    assert [(item.value, item.help) for item in items] == [("abc", r"queued x\x1b[31m\ny")]


@pytest.mark.parametrize("path", source.files("workers/taskq_workers/cli"), ids=lambda path: path.name)
def test_nothing_is_printed_but_there(path: object) -> None:
    """By no other way than ``said.py`` and ``tables.py``."""
    text = path.read_text()  # type: ignore[attr-defined]
    own = {"said.py", "tables.py", "completion.py", "demo.py", "top.py", "__init__.py"}
    if path.name in own:  # type: ignore[attr-defined]
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "click.echo", "sys.stdout.write", "sys.stderr.write")


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Their messages may hold what stands in Redis."""
    cli._Message(f"the map failed: {NASTY}").show()
    said.say(NASTY)
    said.put(NASTY)
    told = capsys.readouterr()
    assert harmless(told.err + told.out, lines=True)
    assert told.err.startswith(r"taskq: the map failed: \x1b]52")
