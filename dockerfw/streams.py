"""The input and output of a verb: files, standard input, output as text or JSON.

Output is written as bytes, so that text from the kernel stays unchanged in every locale.
"""

from __future__ import annotations

import json
import select
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

from dockerfw.plain_text import make_json_visible, make_visible

READ_MAX = 64 * 1024 * 1024


class InputError(Exception):
    """The input cannot be used: exit status 2, and the message on standard error."""


@dataclass(frozen=True, slots=True)
class Output:
    """The streams that a verb writes to; `as_json` is true when a program reads them."""

    out: TextIO
    err: TextIO
    as_json: bool

    def text(self, text: str) -> None:
        """Write text unchanged, with lone surrogates as the bytes that they stand for."""
        _write(self.out, text, "surrogateescape")

    def line(self, text: str = "") -> None:
        """Write one line to standard output."""
        _write(self.out, f"{_for_terminal(text)}\n", "backslashreplace")

    def note(self, text: str) -> None:
        """Write one line to standard error."""
        _write(self.err, f"{_for_terminal(text)}\n", "backslashreplace")

    @property
    def at_terminal(self) -> bool:
        """True when an admin at a terminal can answer questions."""
        return not self.as_json and _terminal()

    def ask(self, question: str, *, seconds: float) -> str | None:
        """Ask on the terminal and return the line typed within `seconds`, None without one.

        A second question overwrites the first, as a countdown does. The end of the input is an empty answer.
        """
        _write(self.err, f"\r{_for_terminal(question)}", "backslashreplace")
        ready, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
        return sys.stdin.readline() if ready else None

    def json(self, value: Any) -> None:
        """Write a value as indented JSON, with bytes that are not UTF-8 as \\udcXX escapes."""
        text = make_json_visible(json.dumps(value, ensure_ascii=False, indent=2))
        _write(self.out, f"{text}\n", "backslashreplace")


def _for_terminal(text: str) -> str:
    """Escape what a terminal would obey, except line ends: verbs escape those in texts of people."""
    return make_visible(text, keep="\n\t")


def _terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def read_bytes(name: str, stdin: BinaryIO | None = None) -> bytes:
    """Read a file, or standard input for `-`, of up to 64 MiB. Raises InputError."""
    try:
        if name == "-":
            data = (stdin or sys.stdin.buffer).read(READ_MAX + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(READ_MAX + 1)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    if len(data) > READ_MAX:
        raise InputError(f"{shown(name)}: larger than the limit of {READ_MAX // 1024 // 1024} MiB")
    return data


def shown(name: str) -> str:
    """Return a file's name for messages."""
    return "standard input" if name == "-" else name


def _write(stream: TextIO, text: str, errors: str) -> None:
    raw = getattr(getattr(stream, "_out", stream), "buffer", None)
    if raw is None:
        stream.write(text)
        return
    stream.flush()
    raw.write(text.encode("utf-8", errors))
    raw.flush()
