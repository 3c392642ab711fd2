"""What an admin should know before a load, in addition to the lines that change.

Each warning has a code for programs and a sentence for people (sentences.py). A warning never stops a load.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockerfw.chains import sentences
from dockerfw.chains.anchors import first_foreign
from dockerfw.chains.forwarding import Jumps, docker_user_jumped
from dockerfw.chains.interface_warnings import interface_warnings
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FORWARD,
    INPUT,
    body,
    is_dockerfw_rule,
    own_rules,
)
from dockerfw.chains.ways_in import find_ways_in_problems
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.simulation.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One thing to know before a load; `family` is None if it concerns the whole host."""

    code: str
    message: str
    family: Family | None = None


def document_warnings(
    document: Document,
    surroundings: Surroundings | None,
    docker_nftables: bool,
    foreign_tables: Sequence[str] = (),
    redirecting_tables: Sequence[str] = (),
    bridges: Sequence[str] = (),
) -> Iterator[PlanWarning]:
    """Warn about the document itself and about the host it is meant for."""
    settings, around = document.settings, surroundings or Surroundings(known=False)
    for problem in find_ways_in_problems(settings, around, docker=True):
        if surroundings is not None or problem.code == "no-external-interface":
            yield PlanWarning(problem.code, problem.message)
    for code, message in interface_warnings(settings, bridges):
        yield PlanWarning(code, message)
    if not any(rule.enabled for rule in document.rules):
        yield PlanWarning("empty-document", sentences.EMPTY_DOCUMENT)
    if docker_nftables:
        yield PlanWarning("docker-nftables", sentences.DOCKER_USES_NFTABLES)
    if foreign_tables:
        yield PlanWarning("own-nftables", sentences.other_tables_filter(foreign_tables))
    if redirecting_tables:
        yield PlanWarning("redirecting-nftables", sentences.describe_redirecting_tables(redirecting_tables))


def family_warnings(
    settings: Settings, family: Family, live: Ruleset, anchors: Jumps
) -> Iterator[PlanWarning]:
    """Warn about what the live ruleset of one family, which needs these anchors, means for the document."""
    yield from _policy_warnings(family, live)
    yield from _position_warnings(anchors, family, live)
    if settings.external_interfaces:
        yield from _docker_user_warnings(family, live, anchors)
    foreign = own_rules(live, FILTERS)
    if foreign and not any(is_dockerfw_rule(rule.text) for rule in foreign):
        message = sentences.filters_chain_replaced(family, len(foreign))
        yield PlanWarning("filters-chain-replaced", message, family)


def _policy_warnings(family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    chain = live.chain("filter", INPUT)
    if chain is not None and chain.policy not in (None, "ACCEPT"):
        message = sentences.input_policy(family, chain.policy)
        yield PlanWarning("input-policy", message, family)


def _position_warnings(anchors: Jumps, family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    for chain, texts in anchors.items():
        found = live.chain("filter", chain)
        rule = first_foreign(found.rules, texts) if found else None
        if rule is not None:
            message = sentences.rule_before_anchor(family, chain, body(rule))
            yield PlanWarning("rule-before-anchor", message, family)


def _docker_user_warnings(family: Family, live: Ruleset, anchors: Jumps) -> Iterator[PlanWarning]:
    if anchors.get(FORWARD):
        yield PlanWarning("own-forward-jump", sentences.own_forward_jump(family), family)
    elif live.chain("filter", DOCKER_USER) is None:
        yield PlanWarning("docker-user-missing", sentences.docker_user_missing(family), family)
    elif not docker_user_jumped(live):
        yield PlanWarning("docker-not-filtering", sentences.docker_not_filtering(family), family)
