"""The lines that have the kernel log what dockerfw refuses, each just before the line that refuses it.

They are written when a document is loaded and decide nothing: a packet goes on to the next line, and what is
compared with the kernel (drift, plan, import) leaves them out. `NFLOG` hands the packet to the reader of a
group, and the kernel forgets it where that group has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from dockerfw.chains.names import OWN_CHAINS, is_log_line, label_of, own_chains
from dockerfw.chains.render import DIALLED_TO_LOOPBACK
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset

DEFAULT_GROUP: Final = 7373
"""The number of the group that the kernel logs to, unless a setting says another one."""

# A table with a limit for each /16 cannot have more than 65,536 sources: a full one would drop packets. The
# second limit holds where the sources are forged. The table keeps its first numbers as long as a line has its
# name, so that other numbers need another name.
_LIMITS: Final = (
    "-m hashlimit --hashlimit-upto 20/sec --hashlimit-burst 50 --hashlimit-mode srcip"
    " --hashlimit-name dockerfw-log1 --hashlimit-htable-max 65536 --hashlimit-srcmask 16"
    " -m limit --limit 200/sec --limit-burst 400"
)
_REFUSING: Final = re.compile(r"(.*?)-j (?:DROP|REJECT --reject-with \S+)", re.ASCII)
_COMMENT: Final = re.compile(r'-m comment --comment (?:"[^"]*"|\S+) ', re.ASCII)
_SET: Final = re.compile(r"(-m set --match-set \S+ \S+)", re.ASCII)
_GROUP: Final = re.compile(r" --nflog-group ([0-9]{1,5})(?= |$)", re.ASCII)


def add_log_lines(rendering: Rendering, family: Family, revision: int, group: int) -> Rendering:
    """Return the rendering of a revision with a line before each one that refuses packets."""
    chains = {
        name: tuple(_with_log_lines(lines, family, revision, group))
        for name, lines in rendering.chains.items()
    }
    return replace(rendering, chains=chains)


def _with_log_lines(lines: Sequence[str], family: Family, revision: int, group: int) -> Iterator[str]:
    for line in lines:
        if found := _REFUSING.fullmatch(line):
            # Members of a set count what the next line matches, and must not count it twice.
            matches = _SET.sub(r"\1 ! --update-counters", _COMMENT.sub("", found[1]))
            prefix = f"dockerfw r{revision} {_reason(line, family)}"
            yield f'{matches}{_LIMITS} -j NFLOG --nflog-prefix "{prefix}" --nflog-group {group}'
        yield line


def _reason(line: str, family: Family) -> str:
    if label_of(line) is not None:
        return "refused"
    return "loopback" if line == DIALLED_TO_LOOPBACK[family] else "block"


def drop_log_lines(rendering: Rendering) -> Rendering:
    """Return a rendering without its log lines."""
    if not has_log_lines(rendering.chains):
        return rendering
    chains = {
        name: tuple(line for line in lines if "-j NFLOG " not in line or not is_log_line(f" {line}"))
        for name, lines in rendering.chains.items()
    }
    return replace(rendering, chains=chains)


def without_log_lines(text: str) -> str:
    """Return a restore text, a save or boot rules without the log lines in it."""
    if " -j NFLOG " not in text:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not is_log_line(line.rstrip("\n")))


def has_log_lines(chains: Mapping[str, Sequence[str]]) -> bool:
    """Return True if rules of dockerfw's chains, each without `-A CHAIN`, log what they refuse."""
    return any(is_log_line(f" {line}") for lines in chains.values() for line in lines)


def logged_groups(live: Ruleset) -> frozenset[int]:
    """Return the groups that the log lines in the kernel name."""
    chains = [found for name in own_chains(live) if (found := live.chain("filter", name))]
    return groups_in(rule.text for chain in chains for rule in chain.rules)


def groups_in(lines: Iterable[str]) -> frozenset[int]:
    """Return the groups that the log lines among the lines of a save name."""
    texts = filter(is_log_line, lines)
    return frozenset(int(named[1]) if (named := _GROUP.search(text)) else 0 for text in texts)


def misses_log_lines(document: Document, live: Ruleset, group: int | None) -> bool:
    """Return True if a load would add, move or remove log lines over rules of dockerfw's.

    `group` is the one that the host logs to, None where its kernel cannot log.
    """
    if all(live.chain("filter", name) is None for name in OWN_CHAINS):
        return False
    wanted = {group} if document.settings.log_refused and group is not None else set()
    return logged_groups(live) != wanted
