"""Owns the exceptions of the pure part; every one prints as text that a user can act on.

Nothing here knows where the text came from: callers add the file name or the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.iptables.tokens import printable

EXCERPT_BEFORE = 100
EXCERPT_AFTER = 60


class NetfilterError(Exception):
    """Base of every error that rules.netfilter raises on purpose."""


class ParseError(NetfilterError):
    """Text that is not what iptables-save prints or iptables-restore reads.

    `line` and `column` count from 1, in characters; `text` is the whole line.
    """

    def __init__(self, line: int, column: int, text: str, message: str) -> None:
        super().__init__(line, column, text, message)
        self.line = line
        self.column = column
        self.text = text
        self.message = printable(message)

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}\n{self.excerpt()}"

    def excerpt(self) -> str:
        """Return the line, cut around the column, and below it a caret at the column."""
        start = max(0, self.column - 1 - EXCERPT_BEFORE)
        end = self.column - 1 + EXCERPT_AFTER
        left = "... " if start else ""
        right = " ..." if end < len(self.text) else ""
        shown = "".join(_visible(character) for character in self.text[start:end])
        caret = " " * (len(left) + self.column - 1 - start) + "^"
        return f"    {left}{shown}{right}\n    {caret}"


def _visible(character: str) -> str:
    """Return a stand-in of the same width for what would break the excerpt's one line."""
    if character == "\t":
        return " "
    return character if character.isprintable() else "\ufffd"


class JsonError(NetfilterError):
    """Text that is not JSON, or JSON beyond what is taken from others."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `path` is like `rules[3].ports[0]`, or empty for the whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DocumentError(NetfilterError):
    """A document that is not valid, with every error that was found."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
