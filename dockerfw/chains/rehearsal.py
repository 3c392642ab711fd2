"""The text that rehearses a load: the live filter table, then the restore text, for an empty namespace.

`iptables-restore --test` accepts jumps to chains that do not exist, so a rehearsal is a real load. All chains
are seeded, but only rules that load in any namespace: a rule that needs an ipset, a cgroup or somebody's
extension would fail there for reasons of its own, and whether ours load never depends on it. Nor does it on
what our own chains held: the restore text begins by flushing them, so they are seeded empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from dockerfw.chains.names import OWN_CHAINS
from dockerfw.iptables.model import Rule, Ruleset, Table

PART_LINES: Final = 100

_MATCHES: Final = frozenset(
    (
        *("addrtype", "comment", "conntrack", "dccp", "icmp", "icmp6", "iprange", "limit", "mac", "mark"),
        *("multiport", "physdev", "pkttype", "sctp", "state", "tcp", "udp"),
    )
)
_TARGETS: Final = frozenset(("ACCEPT", "DROP", "RETURN", "REJECT", "LOG"))
_NAMED = re.compile(r" -(m|j|g) (\S+)", re.ASCII)


def render_rehearsal(live: Ruleset, restore_text: str) -> str:
    """Return one text for `iptables-restore -n`: the live filter table, then the restore text."""
    return "\n".join(_in_parts([*_seed(live), *restore_text.split("\n")]))


def _seed(live: Ruleset) -> Iterator[str]:
    table = live.tables.get("filter")
    if table is None:
        return
    yield "*filter"
    for chain in table.chains.values():
        yield f":{chain.name} {chain.policy or '-'} [0:0]"
    for chain in table.chains.values():
        if chain.name in OWN_CHAINS:
            continue
        for rule in chain.rules:
            if _can_be_seeded(rule, table):
                yield rule.text
    yield "COMMIT"


def _in_parts(lines: Iterable[str]) -> Iterator[str]:
    """Commit after every PART_LINES lines, which keeps netlink messages small; nobody needs one transaction.

    In a user namespace iptables-nft cannot raise its socket's buffer above 208 KiB, which some 300 rules
    fill ("sendmsg() failed: Message too long").
    """
    since = 0
    for line in lines:
        if line.startswith("*"):
            since = 0
        elif line != "COMMIT" and since == PART_LINES:
            yield from ("COMMIT", "*filter")
            since = 0
        yield line
        since += 1


def _can_be_seeded(rule: Rule, table: Table) -> bool:
    # A comment may hold such words too; then the rule is left out for nothing, which does no harm.
    return all(
        name in _MATCHES if option == "m" else name in _TARGETS or name in table.chains
        for option, name in _NAMED.findall(rule.text)
    )
