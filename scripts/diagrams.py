"""Drawings of the documentation: boxes and arrows of box-drawing characters, made into SVG for the site.

A page holds a drawing as text, in a fence that says ``diagram`` and a title. So it can be read wherever text can:
in an editor, a diff, a terminal, on GitHub. The site shows the same with lines that meet, in the colours of the
reader's scheme, from no script and no other host: ``docs_hooks.py`` calls ``drawn`` while the site is built.

Mermaid, which GitHub draws by itself, would need its script (3 MB) on the site; Graphviz, d2 and pikchr a program
to build it, and a picture beside its source in the repository.

Lines are made of ``─│┌┐└┘├┤┬┴┼``, dashed ones of ``╌┆``, arrows end with ``►◄▲▼``; all else is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

WIDE, HIGH = 8, 18  # pixels of one character
_TIP = 7  # from the middle of an arrow's character to its point, which touches what stands beside it

_LINES = {
    "─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu", "├": "udr", "┤": "udl", "┬": "lrd",
    "┴": "lru", "┼": "lrud", "╌": "lr", "┆": "ud",
}  # fmt: skip
_ARROWS = {"►": "l", "◄": "r", "▲": "d", "▼": "u"}  # and the side on which the line comes in
_THROUGH = {"►": "lr", "◄": "lr", "▲": "ud", "▼": "ud"}  # what is drawn of it besides its head
_DASHED = "╌┆"
_FENCE = re.compile(r"```diagram ([^\n]+)\n(.*?)```", re.DOTALL)


def drawn(fence: str) -> str:
    """The figure for a block of a page.

    Args:
        fence: The block, from its first to its last backquote.

    Raises:
        ValueError: If it has no title, or a line of it leads nowhere.
    """
    found = _FENCE.fullmatch(fence.strip())
    if not found:
        raise ValueError(f"not a diagram with a title: {fence[:60]!r}")
    title, rows = found[1], found[2].rstrip("\n").split("\n")
    if loose := list(loose_ends(rows)):
        raise ValueError(f"{title}: {'; '.join(loose)}")
    wide, high = max(map(len, rows)) * WIDE, len(rows) * HIGH
    inside = "".join((*_boxes(rows), *_strokes(rows), *_heads(rows), *_texts(rows)))
    return (
        f'<figure class="diagram"><svg viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">{inside}</svg></figure>\n'
    )


def loose_ends(rows: list[str]) -> Iterator[str]:
    """Each side of a character to which a line leads, and where it does not go on."""
    steps = {"l": (0, -1, "r"), "r": (0, 1, "l"), "u": (-1, 0, "d"), "d": (1, 0, "u")}
    for y, row in enumerate(rows):
        for x, char in enumerate(row):
            sides = _LINES.get(char) or _ARROWS.get(char, "")
            for side in sides:
                down, right, back = steps[side]
                other = _at(rows, y + down, x + right)
                if other == " " and side in "lr":  # a label, with a gap
                    other = _at(rows, y, x + 2 * right)
                if back not in (_LINES.get(other) or _ARROWS.get(other, "")) and not _is_text(other):
                    yield f"row {y + 1}, column {x + 1}: {char} goes on to {other!r}"


def _at(rows: list[str], y: int, x: int) -> str:
    return rows[y][x] if 0 <= y < len(rows) and 0 <= x < len(rows[y]) else ""


def _is_text(char: str) -> bool:
    """Whether a line may end beside it: text names it."""
    return char.strip() != "" and char not in _LINES and char not in _ARROWS


def _middle(x: int, y: int) -> tuple[int, int]:
    return x * WIDE + WIDE // 2, y * HIGH + HIGH // 2


def _boxes(rows: list[str]) -> Iterator[str]:
    """What lies within four corners is shaded; a box in a box is darker."""
    for y, row in enumerate(rows):
        for x in [at for at, char in enumerate(row) if char == "┌"]:
            right = next((at for at in range(x + 1, len(row)) if row[at] not in "─┬┴┼"), x)
            below = next((at for at in range(y + 1, len(rows)) if _at(rows, at, x) not in "│├┤┼"), y)
            if _at(rows, y, right) == "┐" and _at(rows, below, x) == "└" and _at(rows, below, right) == "┘":
                (left, top), (end, bottom) = _middle(x, y), _middle(right, below)
                yield f'<rect x="{left}" y="{top}" width="{end - left}" height="{bottom - top}"/>'


def _strokes(rows: list[str]) -> Iterator[str]:
    """All lines; from the middle of a character to the sides to which it leads."""
    solid, dashed = [], []
    way = {"l": f"h-{WIDE // 2}", "r": f"h{WIDE // 2}", "u": f"v-{HIGH // 2}", "d": f"v{HIGH // 2}"}
    for y, row in enumerate(rows):
        for x, char in enumerate(row):
            across, down = _middle(x, y)
            for side in _LINES.get(char) or _THROUGH.get(char, ""):
                (dashed if char in _DASHED else solid).append(f"M{across} {down}{way[side]}")
    if solid:
        yield f'<path d="{"".join(solid)}"/>'
    if dashed:
        yield f'<path class="dashed" d="{"".join(dashed)}"/>'


def _heads(rows: list[str]) -> Iterator[str]:
    shapes = {"►": "l-7-4v8z", "◄": "l7-4v8z", "▲": "l-4 7h8z", "▼": "l-4-7h8z"}
    tips = {"►": (_TIP, 0), "◄": (-_TIP, 0), "▲": (0, -2 * _TIP), "▼": (0, 2 * _TIP)}
    for y, row in enumerate(rows):
        for x, char in enumerate(row):
            if char in shapes:
                (across, down), (right, below) = _middle(x, y), tips[char]
                yield f'<path class="head" d="M{across + right} {down + below}{shapes[char]}"/>'


def _texts(rows: list[str]) -> Iterator[str]:
    """Words; each run of them as wide as its characters are, whatever the reader's font is."""
    lines = "".join((*_LINES, *_ARROWS))
    for y, row in enumerate(rows):
        for run in re.finditer(rf"[^\s{lines}]+(?: [^\s{lines}]+)*", row):
            across, down = run.start() * WIDE, y * HIGH + HIGH * 3 // 4 - 1
            wide = (run.end() - run.start()) * WIDE
            yield f'<text x="{across}" y="{down}" textLength="{wide}">{escape(run[0])}</text>'
