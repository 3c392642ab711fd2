"""The software that a chain belongs to, guessed from the chain's name.

Badges and lists show it. dockerfw never allows, refuses or deletes anything because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dockerfw.chains.names import DOCKER_USER, PANIC, is_own_chain
from dockerfw.iptables.model import BUILTIN_CHAINS, Rule, Ruleset

Owner = Literal[
    "dockerfw",
    "docker",
    "fail2ban",
    "ufw",
    "firewalld",
    "kubernetes",
    "libvirt",
    "tailscale",
    "crowdsec",
    "builtin",
    "other",
]

_PREFIXES: tuple[tuple[str, Owner], ...] = (
    ("f2b-", "fail2ban"),
    ("fail2ban", "fail2ban"),
    ("ufw-", "ufw"),
    ("ufw6-", "ufw"),
    ("KUBE-", "kubernetes"),
    ("CNI-", "kubernetes"),
    ("LIBVIRT_", "libvirt"),
    ("ts-", "tailscale"),
    ("CROWDSEC", "crowdsec"),
    ("crowdsec", "crowdsec"),
)
_FIREWALLD = ("_direct", "_ZONES", "_ZONES_SOURCE", "_POLICIES_pre", "_POLICIES_post")


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A chain that a load does not change, with the number of its rules that are not dockerfw's."""

    table: str
    chain: str
    rules: int
    owner: Owner


def chain_owner(table: str, chain: str, rules: Sequence[Rule] = ()) -> Owner:
    """Return the owner of a chain. DOCKER-USER counts as Docker's: Docker creates it, for admins to fill."""
    if chain in BUILTIN_CHAINS.get(table, ()):
        return "builtin"
    if table == "filter" and (chain == PANIC or is_own_chain(chain)):
        return "dockerfw"
    if chain == "DOCKER" or chain == DOCKER_USER or chain.startswith(("DOCKER-", "DOCKER_")):
        return "docker"
    for prefix, owner in _PREFIXES:
        if chain.startswith(prefix):
            return owner
    if chain.endswith(_FIREWALLD) or chain.startswith(("IN_", "FWD_", "FWDI_", "FWDO_", "PRE_", "POST_")):
        return "firewalld"
    return "other"


def called_rules(live: Ruleset, table: str, start: str) -> Iterator[Rule]:
    """Yield the rules of a chain and of the chains that it calls, each once; Docker's chains are left out."""
    waiting, seen = [start], {start}
    while waiting:
        chain = live.chain(table, waiting.pop(0))
        if chain is None or chain_owner(table, chain.name) == "docker":
            continue
        yield from chain.rules
        targets = [rule.target.name for rule in chain.rules if rule.target is not None]
        waiting += [name for name in dict.fromkeys(targets) if name not in seen]
        seen.update(targets)


def foreign_chains(live: Ruleset, excluded: Sequence[Rule] | None = None) -> tuple[ForeignChain, ...]:
    """Return the chains with rules that are not dockerfw's, in printed order.

    `excluded` are rules of other chains that a load deletes, and dockerfw's anchors.
    """
    skipped = {id(rule) for rule in excluded or ()}
    found = []
    for table in live.tables.values():
        for chain in table.chains.values():
            if table.name == "filter" and is_own_chain(chain.name):
                continue
            rules = sum(1 for rule in chain.rules if id(rule) not in skipped)
            if rules or not chain.builtin:
                owner = chain_owner(table.name, chain.name, chain.rules)
                found.append(ForeignChain(table.name, chain.name, rules, owner))
    return tuple(found)
