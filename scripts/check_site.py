"""Look at the site that mkdocs has built: nothing of it comes from another host, and every link leads somewhere.

mkdocs itself checks what is written in pages; this sees what theme and plugins have made of them, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""What a browser fetches by itself: tag -> attribute."""

_MERELY_NAMED = {"canonical", "next", "prev"}
"""Relations of a <link> that nobody fetches."""


class Page(HTMLParser):
    """The anchors, the links and what is loaded of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"__comments"}  # of the theme: where comments would begin
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag has."""
        told = {name: value or "" for name, value in attrs}
        self.anchors |= {told[name] for name in ("id", "name") if name in told}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        if tag in _LOADED and _LOADED[tag] in told and told.get("rel") not in _MERELY_NAMED:
            self.loaded.append(told[_LOADED[tag]])


def wrong(site: Path) -> Iterator[str]:
    """Each thing that is wrong with the site in this folder."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"there are no pages in {site}"
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of a server's root
            continue
        name = path.relative_to(site.resolve())
        yield from (f"{name} loads {url}" for url in page.loaded if urlsplit(url).netloc)
        for url in [*page.links, *page.loaded]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name} links to {url}, which there is not"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} links to {url}: the page has no such anchor"
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text.replace('"', "").replace("'", "") or "@import" in text:
            yield f"{path.relative_to(site)} loads something from elsewhere"


def main() -> None:
    """Check the folder that is given."""
    site = Path(sys.argv[1])
    if found := list(wrong(site)):
        sys.exit("\n".join(found))
    print(
        f"{site}: {len(list(site.glob('*.html')))} pages, whose links lead somewhere; nothing comes from elsewhere"
    )


if __name__ == "__main__":
    main()
