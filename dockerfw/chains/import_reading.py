"""The rulesets in an imported text: a save, two saves, a restore file, or what `iptables -S` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.grammar import decode_text
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore

_POLICY = re.compile(r"^-P (\S+) (\S+)$")


def read_rulesets(text: bytes | str) -> tuple[Ruleset, ...]:
    """Read one save, two saves in one file (IPv4 then IPv6), a restore file, or what `iptables -S` prints.

    Raise ParseError.
    """
    decoded = _as_restore_file(decode_text(text).removeprefix("\ufeff").replace("\r\n", "\n"))
    try:
        return tuple(parse_save(part) for part in _saves(decoded))
    except ParseError as first:
        try:
            return (parse_restore(decoded),)
        except ParseError as second:
            # The reader that got further has the better error.
            raise (first if first.line > second.line else second) from None


def _as_restore_file(text: str) -> str:
    """Return the text with the frame that `iptables -S` leaves out, on the first and the last line.

    listing = { "-P " chain " " policy | "-N " chain | "-A " rule | comment | blank }
    """
    lines = text.split("\n")
    words = [line for line in lines if line.strip() and not line.startswith("#")]
    if not words or not all(line.startswith(("-P ", "-N ", "-A ", "-I ")) for line in words):
        return text
    listed = [_POLICY.sub(r":\1 \2 [0:0]", line) for line in lines]
    while listed and not listed[-1].strip():
        listed.pop()
    return "\n".join([f"*filter\n{listed[0]}", *listed[1:], "COMMIT", ""])


def _saves(text: str) -> Iterator[str]:
    """Split the text before each repeated table; blank lines keep the line numbers right."""
    lines = text.split("\n")
    start = 0
    seen: set[str] = set()
    for number, line in enumerate(lines):
        if line.startswith("*"):
            if line in seen:
                yield "\n" * start + "\n".join(lines[start:number]) + "\n"
                start, seen = number, set()
            seen.add(line)
    yield "\n" * start + "\n".join(lines[start:])
