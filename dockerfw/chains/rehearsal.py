"""The text that rehearses a load: the live filter table, then the restore text, for an empty namespace.

`iptables-restore --test` accepts jumps to missing chains, so a rehearsal is a real load. It creates all
chains, but only the rules that load in any namespace: a rule that needs an ipset, a cgroup or a special
extension would fail there, and dockerfw's rules never depend on it. dockerfw's own chains stay empty, because
the restore text flushes them first.
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
    """Commit after every PART_LINES lines to keep netlink messages small; one transaction is not needed.

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
    # A comment may contain such words too. Leaving that rule out does no harm.
    return all(
        name in _MATCHES if option == "m" else name in _TARGETS or name in table.chains
        for option, name in _NAMED.findall(rule.text)
    )
