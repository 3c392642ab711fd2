"""Numbers in the notations of C, as iptables reads most of them: `010` is 8, and `0x10` is 16."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,19}")


def integer(text: str) -> int | None:
    """Return a number in the notations of C, or None for other text."""
    if not _NUMBER.fullmatch(text):
        return None
    if text[:2].lower() == "0x":
        return int(text, 16)
    return int(text, 8 if text[0] == "0" else 10)


def decimal(text: str) -> str:
    """Return a number in decimal, and other text unchanged."""
    value = integer(text)
    return text if value is None else str(value)
