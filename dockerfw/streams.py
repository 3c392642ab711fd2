"""What a verb reads and writes: files, standard input, output as text or JSON.

Owns sizes, encodings and the wording of what cannot be read. Output goes out as bytes, so that what the
kernel printed stays as it was, whatever the locale says.
"""

from __future__ import annotations

import json
import select
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

READ_MAX = 64 * 1024 * 1024


class InputError(Exception):
    """Something that the user gave cannot be used: status 2, the message on standard error."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a verb writes, and whether people or programs read it."""

    out: TextIO
    err: TextIO
    as_json: bool

    def text(self, text: str) -> None:
        """Write text as it is; lone surrogates go out as the bytes they stand for."""
        _write(self.out, text, "surrogateescape")

    def line(self, text: str = "") -> None:
        """Write one line for people."""
        _write(self.out, f"{text}\n", "backslashreplace")

    def note(self, text: str) -> None:
        """Write one line to standard error."""
        _write(self.err, f"{text}\n", "backslashreplace")

    @property
    def at_terminal(self) -> bool:
        """Say whether somebody sits at the other end who can be asked."""
        return not self.as_json and _terminal()

    def ask(self, question: str, *, seconds: float) -> str | None:
        """Ask on the terminal and return the line typed within `seconds`, None when there was none.

        Asking again overwrites the question, as a countdown does. The end of the input is an empty answer.
        """
        _write(self.err, f"\r{question}", "backslashreplace")
        ready, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
        return sys.stdin.readline() if ready else None

    def json(self, value: Any) -> None:
        """Write a value as indented JSON; bytes that are not UTF-8 become \\udcXX escapes."""
        _write(self.out, json.dumps(value, ensure_ascii=False, indent=2) + "\n", "backslashreplace")


def _terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def read_bytes(name: str, stdin: BinaryIO | None = None) -> bytes:
    """Read a file, or standard input for `-`; 64 MiB at most. Raises InputError."""
    try:
        if name == "-":
            data = (stdin or sys.stdin.buffer).read(READ_MAX + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(READ_MAX + 1)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    if len(data) > READ_MAX:
        raise InputError(f"{shown(name)}: larger than the {READ_MAX // 1024 // 1024} MiB that are read")
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
