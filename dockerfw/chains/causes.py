"""The likely causes of drift, judged by the traces that they leave in the rules.

Causes are only shown to admins: dockerfw never allows, refuses or repairs anything because of one. The
sentences are in sentences.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockerfw.chains import drift_sentences
from dockerfw.chains.names import DOCKER, DOCKER_USER, FORWARD, INPUT, body
from dockerfw.chains.owners import Owner, chain_owner
from dockerfw.chains.static_sets import SetState
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.simulation.surroundings import Surroundings

# The bouncer refuses by sets, and in newer versions in a chain of its own.
CROWDSEC_SETS = "--match-set crowdsec"
# ufw-docker's after.rules fills DOCKER-USER with jumps to these.
UFW_DOCKER_CHAINS = ("ufw-user-forward", "ufw-docker-")


@dataclass(frozen=True, slots=True)
class DriftFacts:
    """Facts about the host that the rules do not show; an unknown fact keeps its default.

    `kept_backend` is the backend that the confirmed revision was loaded into, `docker_moved_to` the other one
    if Docker's chains have appeared there since. `docker_gone` are the families in which Docker's own chains
    were called since the boot and are not now, in some table. `rebooted`: the host was booted after that
    load. `released`: an admin ran `release` on the host. `foreign_tables` are nftables tables in which other
    software filters. `container_families` are the IP versions in which container networks have addresses.
    `command` is the name of dockerfw's command on that host. `surroundings` are its interfaces and routes,
    None if they are not looked at, and `docker` is true if Docker filters there. `static_sets` are the states
    of the sets of sources that the rules match, by name, None if they are not looked at.
    """

    kept_backend: str = ""
    docker_moved_to: str = ""
    docker_nftables: bool = False
    docker_gone: tuple[Family, ...] = ()
    rebooted: bool = False
    released: bool = False
    foreign_tables: tuple[str, ...] = ()
    container_families: frozenset[Family] = frozenset()
    command: str = "dockerfw"
    surroundings: Surroundings | None = None
    docker: bool = False
    static_sets: Mapping[str, SetState] | None = None


def explain_missing_rules(live: Ruleset, facts: DriftFacts) -> str:
    """Return the likely reason why all of dockerfw's rules are missing."""
    if facts.rebooted:
        return drift_sentences.REBOOTED
    if "filter" not in live.tables:
        return drift_sentences.TABLE_GONE
    return _reloaded(live, facts) or _flushed(live) or drift_sentences.CAUSE_UNKNOWN


def explain_missing_anchor(live: Ruleset, chain: str, facts: DriftFacts) -> str:
    """Return the likely reason why dockerfw's jump is missing from INPUT or DOCKER-USER."""
    if facts.released:
        return drift_sentences.released(facts.command)
    reloaded = _reloaded(live, facts)
    if chain == INPUT:
        return reloaded or (
            drift_sentences.INPUT_EMPTY if _is_empty(live, INPUT) else drift_sentences.CAUSE_UNKNOWN
        )
    found = live.chain("filter", DOCKER_USER)
    if found is None:
        docker = live.chain("filter", DOCKER) is not None
        gone = drift_sentences.docker_user_gone(docker_present=docker)
        return f"{gone} {reloaded or drift_sentences.DOCKER_CREATES_IT}"
    if any(rule.target and rule.target.name.startswith(UFW_DOCKER_CHAINS) for rule in found.rules):
        return drift_sentences.UFW_DOCKER
    if all(body(rule) == "-j RETURN" for rule in found.rules):
        return f"{drift_sentences.DOCKER_USER_RECREATED} {reloaded}".strip()
    return reloaded or drift_sentences.CAUSE_UNKNOWN


def explain_earlier_rule(rule: Rule | None, live: Ruleset) -> str:
    """Return which software probably inserted a rule before dockerfw's, or the chain to which it jumps."""
    if rule is None or rule.target is None:
        return drift_sentences.CAUSE_UNKNOWN
    target = rule.target.name
    owner: Owner = "crowdsec" if CROWDSEC_SETS in rule.text else chain_owner("filter", target)
    if owner in drift_sentences.INSERTED_BY:
        return drift_sentences.INSERTED_BY[owner]
    known = live.chain("filter", target) is not None
    return drift_sentences.inserted_by_chain(target) if known else drift_sentences.CAUSE_UNKNOWN


def explain_changed_rules(rules: Sequence[Rule]) -> str:
    """Return which software probably edited dockerfw's chains; `rules` are the unwanted rules in them."""
    for rule in rules:
        owner = chain_owner("filter", rule.target.name) if rule.target else "other"
        if owner in drift_sentences.INSERTED_BY:
            return drift_sentences.inserted_into_chains(owner, rule.text)
    return drift_sentences.CAUSE_UNKNOWN


def explain_other_revision(facts: DriftFacts) -> str:
    """Return the likely reason why the kernel holds another revision than the confirmed one."""
    return drift_sentences.OTHER_BOOT_FILES if facts.rebooted else drift_sentences.OTHER_SAVE


def explain_missing_docker_user_jump(family: Family, live: Ruleset, facts: DriftFacts) -> str:
    """Return the likely reason why FORWARD has no jump to DOCKER-USER, and what adds dockerfw's own."""
    return f"{_missing_docker_user_jump(family, live, facts)} {drift_sentences.OWN_JUMP_HELPS}"


def _missing_docker_user_jump(family: Family, live: Ruleset, facts: DriftFacts) -> str:
    if facts.docker_nftables:
        return drift_sentences.DOCKER_FILTERS_ITSELF
    if _is_empty(live, FORWARD) and live.chain("filter", DOCKER) is not None:
        return drift_sentences.FORWARD_FLUSHED
    if live.chain("filter", DOCKER) is None:
        return drift_sentences.docker_does_not_filter(family)
    if family == 6:
        return drift_sentences.IPV6_NOT_CALLED
    return _reloaded(live, facts) or drift_sentences.JUMP_REMOVED


def _reloaded(live: Ruleset, facts: DriftFacts) -> str:
    table = live.tables.get("filter")
    owners = {chain_owner("filter", name) for name in (table.chains if table else ())}
    words = next((words for owner, words in drift_sentences.RELOADED.items() if owner in owners), "")
    return words or (
        drift_sentences.FIREWALLD_IN_NFTABLES if "inet firewalld" in facts.foreign_tables else ""
    )


def _flushed(live: Ruleset) -> str:
    table = live.tables["filter"]
    if not (_is_empty(live, INPUT) and _is_empty(live, FORWARD)):
        return ""
    cleared = all(chain.builtin for chain in table.chains.values())
    return drift_sentences.TABLE_CLEARED if cleared else drift_sentences.TABLE_FLUSHED


def _is_empty(live: Ruleset, chain: str) -> bool:
    found = live.chain("filter", chain)
    return found is None or not found.rules
