"""The nftables tables that iptables does not show, found in what `nft list` prints.

dockerfw does not read the rules in them. The sentence about them is in sentences.py.
"""

from __future__ import annotations

import re
from typing import Final

from dockerfw.iptables.model import BUILTIN_CHAINS

_TABLE: Final = re.compile(r"table (?P<family>\S+) (?P<name>\S+)(?: \{)?")
_HOOK: Final = re.compile(r"\s+type filter hook (?:prerouting|input|forward|ingress)\b")
_NAT_HOOK: Final = re.compile(r"\s+type (?:nat|filter) hook prerouting\b")
_CHANGES_DESTINATION: Final = re.compile(r"\b(?:redirect|dnat|tproxy)\b")
_QUOTED: Final = re.compile(r'"[^"]*"')
_FAMILIES: Final = ("ip", "ip6", "inet", "netdev")
# iptables-nft keeps its tables under these names (iptables-nft(8)); iptables-save shows them.
_IPTABLES: Final = frozenset(f"{family} {name}" for family in ("ip", "ip6") for name in BUILTIN_CHAINS)
_DOCKER: Final = "docker-bridges"


def foreign_tables(listing: str) -> tuple[str, ...]:
    """Return the tables in `nft list tables` that iptables does not show, such as `inet firewalld`.

    Docker's own tables are left out, and so are those for bridges and ARP.
    """
    found = []
    for line in listing.splitlines():
        table = _TABLE.fullmatch(line.strip())
        if table is None or table["family"] not in _FAMILIES or table["name"] == _DOCKER:
            continue
        name = f"{table['family']} {table['name']}"
        if name not in _IPTABLES:
            found.append(name)
    return tuple(dict.fromkeys(found))


def has_filter_chain(listing: str) -> bool:
    """Return True if a table, as `nft list table` prints it, has a chain that can refuse incoming packets."""
    return any(_HOOK.match(line) for line in listing.splitlines())


def changes_destinations(listing: str) -> bool:
    """Return True if a table can send incoming packets to another address or port of the host."""
    lines = listing.splitlines()
    return any(_NAT_HOOK.match(line) for line in lines) and any(
        _CHANGES_DESTINATION.search(_QUOTED.sub("", line)) for line in lines
    )
