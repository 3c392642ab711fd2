"""The exceptions of iptables text, JSON and documents; each prints as text that tells an admin what to fix.

Callers add where the text came from, such as the file name or the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.iptables.tokens import printable

EXCERPT_BEFORE = 100
EXCERPT_AFTER = 60


class NetfilterError(Exception):
    """Base of the errors about iptables text, JSON and documents."""


class ParseError(NetfilterError):
    """Text that iptables-save does not print and iptables-restore does not read.

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
        """Return the line, cut around the column, with a caret below the column."""
        start = max(0, self.column - 1 - EXCERPT_BEFORE)
        end = self.column - 1 + EXCERPT_AFTER
        left = "... " if start else ""
        right = " ..." if end < len(self.text) else ""
        shown = "".join(_visible(character) for character in self.text[start:end])
        caret = " " * (len(left) + self.column - 1 - start) + "^"
        return f"    {left}{shown}{right}\n    {caret}"


def _visible(character: str) -> str:
    """Return the character, or one of the same width if it would break the line."""
    if character == "\t":
        return " "
    return character if character.isprintable() else "\ufffd"


class JsonError(NetfilterError):
    """Text that is not JSON, or JSON beyond the limits for untrusted text."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error of one field; `path` is like `rules[3].ports[0]`, or empty for the whole document."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DocumentError(NetfilterError):
    """A document that is not valid, with every error."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
