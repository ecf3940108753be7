"""What mkdocs calls while it builds the site (``mkdocs.yml``, ``make docs``).

Pages are written to be read in the repository, too: so a link may lead to any file of it, and an anchor is what
GitHub makes of a heading. Here such a link becomes one to a page of the site, or else to the repository.
"""

from __future__ import annotations

import posixpath
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # mkdocs runs this file from a path, and knows no package of ours

from scripts import diagrams  # noqa: E402

ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "deploy/README.md": "deploy.md",
    "docs/tutorial.ipynb": "tutorial.md",
    "examples/README.md": "examples.md",
}
"""Pages of the site that are no Markdown of docs/: path in the repository -> name on the site."""

_NOTEBOOK = """\
{%- extends "markdown/index.md.j2" -%}
{%- macro out(text) %}
``` {.text .out}
{{ text | strip_ansi | trim }}
```
{% endmacro -%}
{%- block stream %}{{ out(output.text) }}{% endblock stream -%}
{%- block data_text scoped %}{{ out(output.data["text/plain"]) }}{% endblock data_text -%}
"""
"""nbconvert's template, but that what came out of a cell has a class of its own, which docs/site.css knows."""

_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()([^)\s#]*)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"`[^`\n]*`")
_ASIDE = re.compile(r"^\(In the repository.*?\)\n", re.DOTALL | re.MULTILINE)  # what is not so on the site
_ABSOLUTE = re.compile(r"[a-z]+:")


def slug(heading: str, _separator: str = "-") -> str:
    """The anchor of a heading, as GitHub makes it; mkdocs itself drops hyphens at its beginning, for one."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(text: str) -> list[tuple[str, str]]:
    """All links of a page but those in blocks of code, as path and anchor (with ``#``); either may be empty."""
    prose = _FENCE.sub("", text)
    return [(path, anchor or "") for path, anchor in _LINK.findall(prose) if not _ABSOLUTE.match(path)]


def anchors(text: str) -> set[str]:
    """The anchors of all headings of a page."""
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.MULTILINE)}


def fitted(text: str, place: str, repository: str) -> str:
    """The page as the site needs it: its links, its drawings, and code in tables, where a bar need not be escaped.

    Args:
        text: The page as it stands in the repository.
        place: Its path there.
        repository: The URL below which all files of it are shown.
    """

    def on_site(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        if not path or _ABSOLUTE.match(path):
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
        if target in ELSEWHERE:
            return ELSEWHERE[target] + anchor
        if target.startswith("docs/"):
            return target.removeprefix("docs/") + anchor
        return f"{repository}/{target}{anchor}"

    def in_prose(part: str) -> str:
        return _CODE.sub(lambda found: found[0].replace(r"\|", "|"), _LINK.sub(on_site, _ASIDE.sub("", part)))

    def fence(part: str) -> str:
        return diagrams.drawn(part) if part.startswith("```diagram") else part

    return "".join(fence(part) if part.startswith("```") else in_prose(part) for part in _FENCE.split(text))


def on_config(config: Any) -> None:
    """Have anchors made as in the repository."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug


def _page_of(notebook: Path) -> str:
    """A notebook as Markdown."""
    from jinja2 import DictLoader
    from nbconvert import MarkdownExporter

    exporter = MarkdownExporter(extra_loaders=[DictLoader({"page.md.j2": _NOTEBOOK})], template_file="page.md.j2")
    return str(exporter.from_filename(str(notebook))[0])


def on_files(files: Any, config: Any) -> None:
    """Add the pages that are no Markdown of docs/; of a notebook make it."""
    from mkdocs.structure.files import File  # an environment of its own has it: .venv-docs

    for place, name in ELSEWHERE.items():
        if place.endswith(".ipynb"):
            files.append(File.generated(config, name, content=_page_of(ROOT / place)))
        else:
            files.append(File.generated(config, name, abs_src_path=str(ROOT / place)))


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Each command below this one that is shown, with what its ``--help`` prints."""
    context = command.make_context(name, [], parent, resilient_parsing=True, terminal_width=90)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            if not found.hidden:
                yield from helps(found, below, context)


def _all_options() -> str:
    from taskq_workers.cli import cli

    return "".join(f"\n## {path}\n\n```text\n{told}\n```\n" for path, told in helps(cli, "taskq"))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make the page fit; that of all options gets them from the commands."""
    if page.file.src_uri == "options.md":
        markdown += _all_options()
    source = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
    place = {name: place for place, name in ELSEWHERE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return fitted(markdown, place, f"{source}/blob/main")
