"""Text from anywhere, as it may be shown on a terminal, or stand in a log.

Names, messages and tracebacks come out of Redis, or out of user code. A terminal obeys escape sequences (it sets
its title, or types a command), and shows what follows a bidi control in another order than it stands.
"""

from __future__ import annotations

import re

_ODD = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls, ESC among them, and those of eight bits
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of text
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # breaks, and what is not seen
    "\U000e0000-\U000e007f"  # tags
    "\ud800-\udfff"  # no characters: they can't even be written
    "]"
)
_LINES = frozenset("\n\t")


def escaped(text: str, *, lines: bool = False) -> str:
    r"""The text with ``\x1b``, ``\u202e``, ... for what a terminal would obey.

    Args:
        text: Whatever it is.
        lines: It may have lines and tabs, which stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return _ODD.sub(lambda found: found[0] if lines and found[0] in _LINES else _python(ord(found[0])), text)


def escaped_json(text: str) -> str:
    """JSON with the same characters escaped as JSON escapes them: its value is the same."""
    return text if text.isascii() and text.isprintable() else _ODD.sub(_json, text)


def _python(number: int) -> str:
    if number < 0x100:  # noqa: PLR2004 - two digits
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(number, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - four digits


def _json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
