"""Who filters beside iptables: tables of nftables' own, which no `iptables-save` shows.

Owns which tables are iptables' and which are somebody's own, whose they probably are, and the sentence that
says so. What such a table refuses is refused whatever iptables says; what is in it nobody reads here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_TABLE: Final = re.compile(r"table (?P<family>\S+) (?P<name>\S+)(?: \{)?")
_HOOK: Final = re.compile(r"\s+type filter hook (?:prerouting|input|forward|ingress)\b")
_FAMILIES: Final = ("ip", "ip6", "inet", "netdev")
# iptables-nft keeps its tables under these names (iptables-nft(8)); iptables-save shows them.
_IPTABLES: Final = frozenset(
    f"{family} {name}" for family in ("ip", "ip6") for name in ("filter", "nat", "mangle", "raw", "security")
)
_OWNERS: Final = {"firewalld": "firewalld", "f2b-table": "fail2ban"}
_DOCKER: Final = "docker-bridges"
_NAMED: Final = 5


def foreign_tables(listing: str) -> tuple[str, ...]:
    """Return the tables in `nft list tables` that iptables does not show, such as `inet firewalld`.

    Docker's own are left out, and so are bridges' and ARP's.
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
    """Say whether a table, as `nft list table` prints it, has a chain that can refuse what comes in."""
    return any(_HOOK.match(line) for line in listing.splitlines())


def describe_tables(tables: Sequence[str]) -> str:
    """Say in one sentence who filters beside iptables; empty when nobody does."""
    if not tables:
        return ""
    owners = tuple(dict.fromkeys(_OWNERS.get(each.partition(" ")[2], "somebody") for each in tables))
    verb = "filters" if len(owners) == 1 else "filter"
    where = "a table" if len(tables) == 1 else "tables"
    names = ", ".join(tables[:_NAMED])
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    sentence = (
        f"{' and '.join(owners)} {verb} in {where} of nftables' own ({names}{more}), which iptables does not "
        "show: what is refused there dockerfw cannot see."
    )
    return sentence if owners[0] != "somebody" else f"S{sentence[1:]}"
