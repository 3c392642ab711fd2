"""Who probably made the kernel differ from what was confirmed, by what they left behind.

Owns sentences for people, each with the evidence that it rests on, and never more certain than that. Nothing
is ever allowed, refused or repaired because of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.names import DOCKER, DOCKER_USER, FORWARD, INPUT, body
from dockerfw.chains.owners import Owner, chain_owner
from dockerfw.iptables.model import Family, Rule, Ruleset

BY_HAND: Final = (
    "Nothing tells who it was: probably somebody by hand, or a tool that leaves no chain of its own."
)
RELEASED: Final = "Somebody let go of the host on its console: `{command} release`."
REBOOTED: Final = (
    "The host was booted since the last load: the boot files were probably not loaded, or flushed later."
)
_CLEARED: Final = (
    "INPUT and FORWARD are empty and no other chain is left: somebody cleared the whole table, as firewalld "
    "does when it starts, reloads or stops."
)
_FLUSHED: Final = "INPUT and FORWARD are empty: somebody flushed the whole table, as `iptables -F` does."
_EMPTY: Final = "INPUT is empty: somebody flushed it, or removed dockerfw's call, which stood there alone."
_RELOADED: Final[dict[Owner, str]] = {
    "firewalld": "firewalld's chains are there: its reload throws away everything, also what others made.",
    "ufw": "ufw's chains are there: with MANAGE_BUILTINS=yes in its settings each reload flushes all.",
}
_FIREWALLD_BESIDE: Final = (
    "firewalld filters in nftables' own table: when it starts or reloads it throws away all of iptables' "
    "rules, also what others made."
)
_INSERTS: Final[dict[Owner, str]] = {
    "fail2ban": "It calls a chain of fail2ban, which puts its rule first with its first ban.",
    "ufw": "It calls a chain of ufw, which was probably enabled or reloaded.",
    "firewalld": "It calls a chain of firewalld, which was probably reloaded.",
    "docker": "It calls a chain of Docker, which was probably started again.",
    "kubernetes": "It calls a chain of Kubernetes, which puts its rules first and keeps them there.",
    "libvirt": "It calls a chain of libvirt, which puts its rules first whenever it starts.",
}


@dataclass(frozen=True, slots=True)
class DriftFacts:
    """Facts about the host that the rules do not show; an unknown fact keeps its default.

    `kept_backend` is the backend that the confirmed revision was loaded into, `docker_moved_to` the other one
    if Docker's chains have appeared there since. `rebooted`: the host was booted after that load. `released`:
    an admin ran `release` on the host. `foreign_tables` are nftables tables in which other software filters.
    `command` is the name of dockerfw's command on that host.
    """

    kept_backend: str = ""
    docker_moved_to: str = ""
    docker_nftables: bool = False
    rebooted: bool = False
    released: bool = False
    foreign_tables: tuple[str, ...] = ()
    command: str = "dockerfw"


def who_emptied(live: Ruleset, facts: DriftFacts) -> str:
    """Say who probably took all of our rules away."""
    if facts.rebooted:
        return REBOOTED
    if "filter" not in live.tables:
        return "The filter table itself is gone: somebody threw away all tables, as `nft flush ruleset` does."
    return _reloaded(live, facts) or _flushed(live) or BY_HAND


def who_removed_anchor(live: Ruleset, chain: str, facts: DriftFacts) -> str:
    """Say who probably took our call out of INPUT or DOCKER-USER."""
    if facts.released:
        return RELEASED.format(command=facts.command)
    reloaded = _reloaded(live, facts)
    if chain == INPUT:
        return reloaded or (_EMPTY if _is_empty(live, INPUT) else BY_HAND)
    found = live.chain("filter", DOCKER_USER)
    if found is None:
        docker = live.chain("filter", DOCKER) is not None
        there = "Docker's other chains are there" if docker else "no chain of Docker is there"
        return f"{DOCKER_USER} is gone, and {there}. {reloaded or 'Docker makes it anew when it starts.'}"
    if all(body(rule) == "-j RETURN" for rule in found.rules):
        made = f"{DOCKER_USER} is as Docker makes it: it was flushed, or removed and made anew by Docker."
        return f"{made} {reloaded}".strip()
    return reloaded or BY_HAND


def who_stands_before(rule: Rule | None) -> str:
    """Say whose rule probably is the one that stands before ours."""
    if rule is None or rule.target is None:
        return BY_HAND
    return _INSERTS.get(chain_owner("filter", rule.target.name), BY_HAND)


def who_changed_rules(live: Ruleset, rules: Sequence[Rule]) -> str:
    """Say who probably edited our chains: whoever the rules call that are in there and not ours."""
    for rule in rules:
        owner = chain_owner("filter", rule.target.name) if rule.target else "other"
        if owner in _INSERTS:
            return f"{owner} put a rule of its own into dockerfw's chains: {rule.text}"
    return BY_HAND


def who_relabelled(facts: DriftFacts) -> str:
    """Say why the kernel may hold another revision than the confirmed one."""
    if facts.rebooted:
        return "The host was booted since: it probably came up with the boot files of another revision."
    return "Somebody loaded a save of another time, or another dockerfw manages this host too."


def who_bypassed(family: Family, live: Ruleset, facts: DriftFacts) -> str:
    """Say why FORWARD probably does not call DOCKER-USER."""
    if _is_empty(live, FORWARD):
        return "FORWARD is empty: somebody flushed it. Docker writes it anew when it is started again."
    if family == 6:
        return "Docker 20.10 never calls DOCKER-USER for IPv6; else somebody removed the call."
    return (
        _reloaded(live, facts) or "Somebody removed the call. Docker writes it anew when it is started again."
    )


def _reloaded(live: Ruleset, facts: DriftFacts) -> str:
    table = live.tables.get("filter")
    owners = {chain_owner("filter", name) for name in (table.chains if table else ())}
    words = next((words for owner, words in _RELOADED.items() if owner in owners), "")
    return words or (_FIREWALLD_BESIDE if "inet firewalld" in facts.foreign_tables else "")


def _flushed(live: Ruleset) -> str:
    table = live.tables["filter"]
    if not (_is_empty(live, INPUT) and _is_empty(live, FORWARD)):
        return ""
    return _CLEARED if all(chain.builtin for chain in table.chains.values()) else _FLUSHED


def _is_empty(live: Ruleset, chain: str) -> bool:
    found = live.chain("filter", chain)
    return found is None or not found.rules
