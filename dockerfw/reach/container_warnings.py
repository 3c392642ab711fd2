"""Warnings about rules for containers by name that allow nothing now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dockerfw.document.values import DocumentRule
from dockerfw.reach import container_sentences as sentences
from dockerfw.reach.container_sets import UnboundRule, find_unbound
from dockerfw.reach.listening import RunningContainer
from dockerfw.reach.rule_warnings import RuleWarning
from dockerfw.simulation.surroundings import HostInterface


def unbound_warnings(
    rules: Iterable[DocumentRule],
    containers: Sequence[RunningContainer] | None,
    interfaces: Sequence[HostInterface],
) -> Mapping[str, RuleWarning]:
    """Return a warning for each rule by name that allows nothing now, by the rule's id.

    `containers` is None where they are unknown: then no rule by name allows anything.
    """
    if containers is None:
        unknown = RuleWarning("unbound", sentences.CONTAINERS_UNKNOWN)
        return {rule.id: unknown for rule in rules if rule.enabled and rule.container}
    found = find_unbound(rules, containers, interfaces)
    return {each.rule_id: RuleWarning("unbound", _sentence(each)) for each in found}


def _sentence(unbound: UnboundRule) -> str:
    match unbound.problem:
        case "no-container":
            return sentences.no_container(unbound.selector)
        case "host-network":
            return sentences.on_host_network(unbound.names)
        case "no-bridge":
            return sentences.past_the_host(unbound.names)
        case "not-published":
            return sentences.not_published(unbound.names)
