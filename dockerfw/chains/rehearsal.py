"""The text that rehearses a load: the live filter table, then the restore text, for an empty namespace.

`iptables-restore --test` accepts jumps to missing chains, so a rehearsal is a real load. It creates all
chains, but only the rules that load in any namespace: a rule that needs an ipset, a cgroup or a special
extension would fail there, and dockerfw's rules never depend on it. A chain that the restore text declares is
created by it, and empty, as it is flushed: before that it is only created if other chains call it.

Of a long text, one line of each shape is rehearsed. Lines of one shape differ only in values whose bounds the
document's validator checks: addresses, interfaces, ports, ids. Every chain, jump and set is rehearsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dockerfw.chains.names import is_own_chain
from dockerfw.iptables.model import Rule, Ruleset, Table

PART_LINES: Final = 100
LONG_LINES: Final = 200
"""A text of more lines is rehearsed by shapes."""

_MATCHES: Final = frozenset(
    (
        *("addrtype", "comment", "conntrack", "dccp", "icmp", "icmp6", "iprange", "limit", "mac", "mark"),
        *("multiport", "physdev", "pkttype", "sctp", "state", "tcp", "udp"),
    )
)
_TARGETS: Final = frozenset(("ACCEPT", "DROP", "RETURN", "REJECT", "LOG"))
_NAMED = re.compile(r" -(m|j|g) (\S+)", re.ASCII)
# The values in which lines of one shape differ. The length of a prefix and a set belong to the shape.
# Patterns that begin with fixed text are many times as fast as one that begins with any of them.
_VALUES: Final = tuple(
    (re.compile(f"{before}{value}", re.ASCII), f"{before}#")
    for before, value in (
        *((f" {option} ", "[0-9a-f.:]+") for option in ("-s", "-d", "--ctorigdst")),
        (" -i ", r"[^ +\n]+"),
        ("port ", "[0-9]+"),
        ("port #:", "[0-9]+"),
        ('--comment "dockerfw:', r'[^"\n]+'),
        ("--hashlimit-name dockerfw-", r"[^ \n]+"),
    )
)


def render_rehearsal(live: Ruleset, restore_text: str) -> str:
    """Return one text for `iptables-restore -n`: the live filter table, then the restore text."""
    lines = restore_text.split("\n")
    rehearsed = lines if len(lines) <= LONG_LINES else _shapes(restore_text)
    return "\n".join(_in_parts([*_seed(live, lines), *rehearsed]))


def _shapes(text: str) -> Iterator[str]:
    """Yield the lines of a text without the allowances and blocks whose shape was before."""
    blanked = text
    for pattern, blank in _VALUES:
        blanked = pattern.sub(blank, blanked)
    seen: set[tuple[str, str]] = set()
    for line, blank in zip(text.split("\n"), blanked.split("\n"), strict=True):
        _, appended, rest = blank.partition("-A FILTERS")
        if appended and rest.endswith((" -j RETURN", " -j DROP")):
            chain, _, matches = rest.partition(" ")
            # All chains of a kind, such as FILTERS-DH-6d3-3977, are called from the same hooks.
            shape = ("-".join(chain.split("-", 2)[:2]), matches)
            if shape in seen:
                continue
            seen.add(shape)
        yield line


def _seed(live: Ruleset, lines: Sequence[str]) -> Iterator[str]:
    table = live.tables.get("filter")
    if table is None:
        return
    foreign = [chain for name, chain in table.chains.items() if not is_own_chain(name)]
    rules = [rule.text for chain in foreign for rule in chain.rules if _can_be_seeded(rule, table)]
    called = {name for text in rules for option, name in _NAMED.findall(text) if option != "m"}
    declared = {line[1:].partition(" ")[0] for line in lines if line.startswith(":")}
    yield "*filter"
    for chain in table.chains.values():
        # Each part of a rehearsal would look at the thousands of chains that a large document has.
        if chain.name in called or chain.name not in declared:
            yield f":{chain.name} {chain.policy or '-'} [0:0]"
    yield from rules
    yield "COMMIT"


def _in_parts(lines: Iterable[str]) -> Iterator[str]:
    """Commit after every PART_LINES lines to keep netlink messages small; one transaction is not needed.

    In a user namespace iptables-nft cannot raise its socket's buffer above 208 KiB, which some 300 rules
    fill ("sendmsg() failed: Message too long"). For a part that removes chains iptables reads all rules
    again, so only the first part of such lines is rehearsed: the chains are empty, and nothing calls them.
    """
    since, removals = 0, 0
    for line in lines:
        removes = line.startswith("-X ")
        removals += removes
        if removes and removals > PART_LINES:
            continue
        if line.startswith("*"):
            since = 0
        elif line != "COMMIT" and (since == PART_LINES or (removes and removals == 1)):
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
