"""The pages of "How it works": their drawings can be drawn, and what they name of code and tests is there."""

from __future__ import annotations

import re

import pytest

from scripts import diagrams, docs_hooks
from tests.simulation.mutations import MUTATIONS
from tests.simulation.oracle import Oracle
from tests.unit import source

DOCS = source.ROOT / "docs"
FENCES = [
    (path.name, fence)
    for path in source.files("docs", suffix=".md")
    for fence in re.findall(r"^```diagram.*?^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
]
ONCE = (DOCS / "once.md").read_text(encoding="utf-8")
INVARIANTS = {int(part.split()[0]): part for part in ONCE.split("\n### I")[1:]}


def test_there_is_a_drawing_of_each() -> None:
    titles = " ".join(re.findall(r"```diagram (.*)", " ".join(fence for _page, fence in FENCES)))
    for what in ("Who starts whom", "life of a chunk", "next process", "what becomes of the work"):
        assert what in titles


@pytest.mark.parametrize(("page", "fence"), FENCES, ids=lambda one: one.partition("\n")[0])
def test_every_line_of_a_drawing_leads_somewhere(page: str, fence: str) -> None:
    rows = fence.split("\n")
    assert max(map(len, rows)) <= 105, "wider than GitHub shows"
    assert diagrams.drawn(fence).count("<text") > 10
    assert "<figure" in docs_hooks.fitted(f"# A page\n\n{fence}\n", f"docs/{page}", "")


def test_what_is_drawn() -> None:
    drawn = diagrams.drawn("```diagram A & b\n┌───┐\n│ <x├─ so ─►\n└───┘\n```")
    assert 'aria-label="A &amp; b"' in drawn
    assert drawn.count("<rect") == 1
    assert '<rect x="4" y="9" width="32" height="36"/>' in drawn
    assert "&lt;x</text>" in drawn
    assert drawn.count('class="head"') == 1
    assert "\n\n" not in drawn, "Markdown would end the figure there"


@pytest.mark.parametrize(
    "fence", ["```diagram\n┌\n```", "```diagram Loose\n┌──\n│\n```", "```diagram Gap\n─ ─\n```"]
)
def test_what_can_not_be_drawn(fence: str) -> None:
    with pytest.raises(ValueError, match=r"title|goes on to"):
        diagrams.drawn(fence)


def test_every_invariant_has_its_guarantee_and_its_tests() -> None:
    assert list(INVARIANTS) == list(range(1, 13))
    for part in INVARIANTS.values():
        assert {"guaranteed by", "tests", "mutations"} <= set(re.findall(r"^\| (.+?) \|", part, re.MULTILINE))


def test_what_the_proof_names_is_there() -> None:
    for name in re.findall(r"[\w/]*\w+\.(?:lua|py)\b", ONCE):
        found = [
            path for path in source.ROOT.glob("[!.]*/**/" + name.rpartition("/")[2]) if str(path).endswith(name)
        ]
        assert found, name
    known = {one.name for one in MUTATIONS}
    named = [
        name
        for row in re.findall(r"^\| mutations \|(.*)\|$", ONCE, re.MULTILINE)
        for name in re.findall(r"\*(.+?)\*", row)
    ]
    assert len(named) > 30
    assert not set(named) - known
    for row in re.findall(r"^\| the oracle \|(.*)\|$", ONCE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", row):
            assert hasattr(Oracle, name), name


def test_the_tests_that_the_proof_names_are_there() -> None:
    rows = re.findall(r"^\| tests \|(.*)\|$", ONCE, re.MULTILINE)
    for row in rows:
        for path, rest in re.findall(r"\]\(\.\./(tests/[\w/]+\.py)\)([^\[]*)", row):
            code = (source.ROOT / path).read_text(encoding="utf-8")
            for name in re.findall(r"`(test_\w+)`", rest):
                assert f"def {name}(" in code, (path, name)
