"""The patterns of the lines that iptables-save prints, and the characters that text may contain.

Every pattern takes time linear in the text: no part of it can match in two ways.
"""

from __future__ import annotations

import re

from dockerfw.iptables import sentences
from dockerfw.iptables.errors import ParseError

COUNTERS = r"\[(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,19})\]"

# iptables-save does not escape a line end inside a comment, so a quoted string may span lines. The kernel
# keeps at most 255 bytes of any such string, each printed with a backslash at most.
_QUOTED_ACROSS_LINES = r'"(?:[^"\\]|\\.){0,512}"'
_QUOTED_IN_LINE = r'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*"'


def _rule_pattern(quoted: str) -> re.Pattern[str]:
    """rule = [ counters " " ] "-A " chain [ " " [ [ "! " ] "-" { character | quoted } ] ] end-of-line

    A double quote opens a string only after a blank; inside a word it is an ordinary character.
    iptables-nft-save 1.8.7 (Ubuntu 22.04) prints a blank after the chain if a rule has neither match nor
    target.
    """
    rest = rf'[^"\n]*+(?:(?:(?<=[ \t]){quoted}(?=[ \t\r\n]|\Z)|(?<![ \t])")[^"\n]*+)*'
    return re.compile(rf"(?:{COUNTERS} )?(-A ([^ \t\r\n]++)(?: (?:(?:! )?-{rest})?)?)(?:\n|\Z)", re.DOTALL)


RULE_LINE = _rule_pattern(_QUOTED_IN_LINE)
RULE_ACROSS_LINES = _rule_pattern(_QUOTED_ACROSS_LINES)
COUNTERS_PREFIX = re.compile(rf"[ \t]*{COUNTERS}[ \t]*")
TABLE_LINE = re.compile(r"\*([^ \t\r\n]+)")
CHAIN_LINE = re.compile(rf":([^ \t\r\n]+) (ACCEPT|DROP|QUEUE|RETURN|-)(?: {COUNTERS})?")


def decode_text(text: bytes | str) -> str:
    """Return the text, checked for NUL and for surrogates that stand for no byte. Raises ParseError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    else:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise _error_at(text, error.start, sentences.LONE_SURROGATE) from None
    if "\0" in text:
        raise _error_at(text, text.index("\0"), sentences.NUL_BYTE)
    return text


def _error_at(text: str, offset: int, message: str) -> ParseError:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start:] if end < 0 else text[start:end]
    return ParseError(text.count("\n", 0, offset) + 1, offset - start + 1, line, message)
