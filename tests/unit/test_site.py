"""The site of `make docs` has every page, and every link in the docs leads somewhere: without building it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
import yaml

import taskq
from scripts import check_site, docs_hooks
from taskq_workers.cli import cli
from tests.unit import source

PAGES = [*source.files("docs", suffix=".md"), *(source.ROOT / place for place in docs_hooks.ELSEWHERE)]
PAGES += [source.ROOT / "README.md", source.ROOT / "SECURITY.md"]
SITE = yaml.safe_load((source.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def named(nav: list[dict[str, object]]) -> Iterator[str]:
    for entry in nav:
        for below in entry.values():
            if isinstance(below, list):
                yield from named(below)
            else:
                yield str(below)


def test_the_navigation_names_every_page_once() -> None:
    there = [path.relative_to(source.ROOT / "docs").as_posix() for path in source.files("docs", suffix=".md")]
    assert sorted(named(SITE["nav"])) == sorted([*there, *docs_hooks.ELSEWHERE.values()])
    assert [*{name: 0 for entry in SITE["nav"] for name in entry}] == [
        "Start", "Guides", "Operate", "How it works", "Reference", "Compared",
    ]  # fmt: skip


def test_the_first_page_leads_to_every_page_of_docs() -> None:
    """On GitHub there is no navigation beside it."""
    text = (source.ROOT / "docs/index.md").read_text(encoding="utf-8")
    led = {path for path, _ in docs_hooks.links(text)}
    assert {path.name for path in source.files("docs", suffix=".md")} - {"index.md"} <= led


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(source.ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in docs_hooks.links(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor[1:] in docs_hooks.anchors(target.read_text(encoding="utf-8")), path + anchor


@pytest.mark.parametrize(
    "page", [source.ROOT / "README.md", *source.files("docs", suffix=".md")], ids=lambda p: p.name
)
def test_every_program_is_run_by_a_test(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    told = re.findall(r"^<!-- (\w+): run by (tests/[\w/]+\.py) -->\n```python$", text, re.MULTILINE)
    assert len(told) == len(re.findall(r"^ *```py", text, re.MULTILINE))
    for name, test in told:
        code = (source.ROOT / test).read_text(encoding="utf-8")
        assert page.name in code, test
        by_name = (f'"{name}"', f"<!-- {name}:", r'findall(r"<!-- (\w+):"')  # or all that there are
        assert any(one in code for one in by_name), (name, test)


def test_an_executor_of_one_s_own() -> None:
    page = (source.ROOT / "docs/dask.md").read_text("utf-8")
    [code] = re.findall(r"<!-- own:.*?-->\n```python\n(.*?)```", page, re.DOTALL)
    told: dict[str, Any] = {}
    exec(code, told)  # noqa: S102 - our own page
    with told["executor"]() as executor:  # starts no process before it is given something
        assert isinstance(executor, Executor)


def test_links_become_those_of_the_site() -> None:
    text = (
        "[a](operations.md#redis) [b](#here) [c](../deploy/README.md) [d](../tests/x.py) [e](https://example.org/x.md)\n"
        "(In the repository it\nis so.)\n| `a \\| b` | c \\| d |\n```\n[f](../deploy/README.md)\n```\n"
    )
    assert docs_hooks.fitted(text, "docs/maps.md", "https://r.example/blob/main") == (
        "[a](operations.md#redis) [b](#here) [c](deploy.md) [d](https://r.example/blob/main/tests/x.py) "
        "[e](https://example.org/x.md)\n| `a | b` | c \\| d |\n```\n[f](../deploy/README.md)\n```\n"
    )
    assert docs_hooks.fitted("[a](docs/maps.md#x)", "CHANGELOG.md", "") == "[a](maps.md#x)"


def test_nothing_of_it_is_loaded_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert not [path for path in SITE["extra_css"] if not (source.ROOT / "docs" / path).exists()]
    assert "extra_javascript" not in SITE


def test_all_that_is_public_is_in_the_reference() -> None:
    told = re.findall(r"^::: taskq\.(\w+)$", (source.ROOT / "docs/reference.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(told) == sorted([*taskq.__all__, "testing"])


def test_all_options_of_all_commands_are_in_the_reference() -> None:
    told = dict(docs_hooks.helps(cli, "taskq"))
    assert {f"taskq {name}" for name, command in cli.commands.items() if not command.hidden} <= set(told)
    assert "--max-memory-per-child" in told["taskq worker"]
    assert "Usage: taskq memo rm " in told["taskq memo rm"]


def test_every_variable_is_in_the_settings() -> None:
    """The variables by which programs and processes of taskq tell each other something are none of them."""
    code = "\n".join(path.read_text("utf-8") for path in source.files("taskq", "workers"))
    read = set(re.findall(r'"(TASKQ_[A-Z_]*[A-Z])"', code)) - {"TASKQ_BUILD", "TASKQ_KEPT", "TASKQ_MARK"}
    read -= {"TASKQ_AUTHKEY", "TASKQ_BEFORE", "TASKQ_PRELOAD_PATH"}
    rows = re.findall(r"^\| `(TASKQ_\w+)` \|", (source.ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(read)


def test_defaults_in_the_settings_are_those_of_the_options() -> None:
    rows = {
        row[0]: row[1]
        for row in re.findall(
            r"^\| `(TASKQ_\w+)` \| ([^|]*) \|", (source.ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE
        )
    }
    seen = 0
    for command in (cli.commands["worker"], cli.commands["dashboard"]):
        for option in command.params:
            if option.envvar in rows and isinstance(option.default, int | float | str) and option.default:
                shown = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
                assert rows[str(option.envvar)].strip("`") == shown, option.envvar
                seen += 1
    assert seen > 8


def test_what_is_wrong_with_a_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h2 id="here">x</h2><a href="b.html#there">b</a><a href="a.html#here">a</a>')
    (tmp_path / "b.html").write_text('<link rel="next" href="https://x.example"><img src="//x.example/i.png">')
    (tmp_path / "c.html").write_text('<a href="no.html">c</a><script src="no.js"></script>')
    (tmp_path / "s.css").write_text('a { background: url("https://x.example/i.png") }')
    assert list(check_site.wrong(tmp_path)) == [
        "a.html links to b.html#there: the page has no such anchor",
        "b.html loads //x.example/i.png",
        "c.html links to no.html, which there is not",
        "c.html links to no.js, which there is not",
        "s.css loads something from elsewhere",
    ]
    assert list(check_site.wrong(tmp_path / "none")) == [f"there are no pages in {tmp_path / 'none'}"]


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_the_figures_of_the_first_pages_are_those_that_were_measured(name: str) -> None:
    told = (source.ROOT / name).read_text("utf-8").partition("## Three figures")[2].partition("\n## ")[0]
    figures = re.findall(r"\d[\d,]{6,}|\d\.\d+|\d+ ms(?=.*lost)", told)
    measured = (source.ROOT / "docs/benchmarks.md").read_text("utf-8")
    assert len(figures) > 6
    assert not [figure for figure in figures if figure not in measured]
