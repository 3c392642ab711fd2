"""Owns the patterns of the lines that iptables-save prints, and what text may hold at all.

Every pattern takes time linear in the text: nothing in it can be read in two ways, so that giving up takes no
longer than going on.
"""

from __future__ import annotations

import re

from dockerfw.iptables.errors import ParseError

COUNTERS = r"\[(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,19})\]"

# iptables-save does not escape a line end inside a comment, so a quoted string may span lines. The kernel
# keeps at most 255 bytes of any such string, each printed with a backslash at most.
_QUOTED_ACROSS_LINES = r'"(?:[^"\\]|\\.){0,512}"'
_QUOTED_IN_LINE = r'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*"'


def _rule_pattern(quoted: str) -> re.Pattern[str]:
    """rule = [ counters " " ] "-A " chain [ " " [ [ "! " ] "-" { character | quoted } ] ] end-of-line

    A double quote opens a string only after a blank; within a word it is a character like others. A rule with
    neither match nor target iptables-nft-save 1.8.7 (Ubuntu 22.04) ends with the blank after the chain.
    """
    rest = rf'[^"\n]*+(?:(?:(?<=[ \t]){quoted}(?=[ \t\r\n]|\Z)|(?<![ \t])")[^"\n]*+)*'
    return re.compile(rf"(?:{COUNTERS} )?(-A ([^ \t\r\n]++)(?: (?:(?:! )?-{rest})?)?)(?:\n|\Z)", re.DOTALL)


RULE_LINE = _rule_pattern(_QUOTED_IN_LINE)
RULE_ACROSS_LINES = _rule_pattern(_QUOTED_ACROSS_LINES)
COUNTERS_PREFIX = re.compile(rf"[ \t]*{COUNTERS}[ \t]*")
TABLE_LINE = re.compile(r"\*([^ \t\r\n]+)")
CHAIN_LINE = re.compile(rf":([^ \t\r\n]+) (ACCEPT|DROP|QUEUE|RETURN|-)(?: {COUNTERS})?")


def decode_text(text: bytes | str) -> str:
    """Return text without the two things that no rule can hold: NUL and surrogates that were no bytes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    else:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise _error_at(text, error.start, "this is half a character (a lone surrogate)") from None
    if "\0" in text:
        raise _error_at(text, text.index("\0"), "a NUL byte cannot stand in rules")
    return text


def _error_at(text: str, offset: int, message: str) -> ParseError:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start:] if end < 0 else text[start:end]
    return ParseError(text.count("\n", 0, offset) + 1, offset - start + 1, line, message)
