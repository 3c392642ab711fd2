"""The rules that iptables-save says it does not print: a table that nft changed, or legacy tables.

iptables-nft-save names them in comment lines, and exits with status 0. A table that is missing for such a
reason is not an empty table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from dockerfw.iptables import sentences

# The form of each line is that of iptables 1.8.7 to 1.8.13 (xtables-save.c, nft.c, xshared.c).
_TABLE = re.compile(r"# Table `([a-z]{1,16})' (is incompatible|contains incompatible base-chains)\b")
INEXACT_LINE = "# Table `{table}' contains rules of nft that are printed without some conditions.\n"
"""The line that dockerfw itself puts before such a save."""
UNCHECKED_LINE = "# Table `{table}' may contain rules of nft that are printed without some conditions.\n"
"""The line that it puts there where the kernel does not tell."""
_INEXACT = re.compile(
    r"# Table `([a-z]{1,16})' (contains|may contain) rules of nft that are printed without some conditions\b"
)
_LEGACY = re.compile(r"# Warning: ip6?tables-legacy tables present\b")
_LINE = re.compile(rf"^(?:{_TABLE.pattern}|{_INEXACT.pattern}|{_LEGACY.pattern}).*$", re.MULTILINE)
_WORDS = (" incompatible", "-legacy tables present", " are printed without some conditions")


@dataclass(frozen=True, slots=True)
class Unprinted:
    """Rules of a table that a save does not show, and why, a sentence without its full stop.

    Legacy tables are not named: they count as the table filter.
    """

    table: str
    sentence: str


# Each page asks several times about the saves of one snapshot.
@lru_cache(maxsize=4)
def find_unprinted(text: str) -> tuple[Unprinted, ...]:
    """Return what a save says it does not print."""
    # Most saves name nothing, and finding that out must not take time with a very long one.
    if not any(words in text for words in _WORDS):
        return ()
    return read_unprinted(found[0] for found in _LINE.finditer(text))


def read_unprinted(comments: Iterable[str]) -> tuple[Unprinted, ...]:
    """Return the same from the comment lines of a save."""
    found: dict[Unprinted, None] = {}
    for line in comments:
        table = _TABLE.match(line)
        if table is not None:
            words = sentences.table_not_printed(table[1], whole=table[2] == "is incompatible")
            found[Unprinted(table[1], words)] = None
        elif inexact := _INEXACT.match(line):
            words = sentences.table_printed_wrongly(inexact[1], certain=inexact[2] == "contains")
            found[Unprinted(inexact[1], words)] = None
        elif _LEGACY.match(line):
            found[Unprinted("filter", sentences.LEGACY_NOT_PRINTED)] = None
    return tuple(found)
