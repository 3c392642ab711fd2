"""Characters that a reader cannot see: found in what people write, made visible where text is printed.

They are control characters, which a terminal obeys, and characters that change the order of a line or take no
room: bidirectional controls, zero-width characters, tags.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# Control, format, lone surrogate, line and paragraph separator.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that are drawn as nothing.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_VARIATIONS = range(0xE0100, 0xE01F0)


def is_hidden(character: str) -> bool:
    """Return True if a reader cannot see the character, or a terminal would obey it."""
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES
        or character in _BLANKS
        or ord(character) in _VARIATIONS
    )


def find_hidden(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position, from 1, and a name such as "U+202E, right-to-left override" of each of them."""
    for position, character in enumerate(text, start=1):
        if is_hidden(character):
            name = unicodedata.name(character, "") or "a control character"
            yield position, f"U+{ord(character):04X}, {name.lower()}"


def make_visible(text: str, *, keep: str = "") -> str:
    """Write each of them as an escape such as \\x1b or \\u202e, except those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(each) if is_hidden(each) and each not in keep else each for each in text)


def make_json_visible(text: str) -> str:
    """Write each of them in a JSON text as a JSON escape. Line ends, which only separate values, stay."""
    return "".join(_json_escape(each) if is_hidden(each) and each != "\n" else each for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
