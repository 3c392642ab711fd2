"""The state of dockerfw's rules in the kernel: the loaded revision, the anchors, and the rules' counters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.anchors import AnchorPlace, anchor_place, anchored_interfaces
from dockerfw.chains.forwarding import docker_user_jumped
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    HOST_ANCHOR,
    INPUT,
    Label,
    container_anchor,
    is_own_chain,
    label_of,
    last_own_rule,
    own_chains,
    own_rules,
    rule_id_of,
)
from dockerfw.iptables.model import Counters, Family, Ruleset

_REFUSING: Final = re.compile(
    r"^\[(\d{1,20}):\d+\] -A (\S+) .*-j (?:REJECT|DROP)(?= |$)", re.ASCII | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class FamilyState:
    """One family: the label of the loaded rules, None without any, and whether packets reach them."""

    label: Label | None
    host_anchor: AnchorPlace
    container_anchors: Mapping[str, AnchorPlace]
    docker_user: bool
    docker_user_jumped: bool

    @property
    def revision(self) -> int | None:
        """The number of the loaded revision, None if no dockerfw rules are loaded."""
        return self.label.revision if self.label else None

    @property
    def digest(self) -> str | None:
        """The first 12 digits of the loaded document's digest."""
        return self.label.digest if self.label else None


@dataclass(frozen=True, slots=True)
class KernelState:
    """The state of each family that was read."""

    families: Mapping[Family, FamilyState]

    @property
    def label(self) -> Label | None:
        """The label that all families share, else None."""
        labels = {state.label for state in self.families.values()}
        return labels.pop() if len(labels) == 1 else None


def read_kernel_state(live: Mapping[Family, Ruleset]) -> KernelState:
    """Return the state of each family given."""
    return KernelState({family: _family_state(ruleset) for family, ruleset in live.items()})


def sum_rule_counters(
    live: Mapping[Family, Ruleset], in_sets: Mapping[str, Counters] | None = None
) -> dict[str, Counters]:
    """Return the packets and bytes that each document rule allowed or blocked, by rule id, of all families.

    They are summed over the lines with the rule's id, in whatever chain, and `in_sets`, which are those of
    the members of static sets. A member has ids only where its line has none, so that nothing counts twice.
    """
    sums: dict[str, Counters] = dict(in_sets or {})
    for ruleset in live.values():
        for chain in own_chains(ruleset):
            for rule in own_rules(ruleset, chain):
                counters = rule.counters
                if counters is None or (identifier := rule_id_of(rule.text)) is None:
                    continue
                former = sums.get(identifier)
                if former is None:
                    sums[identifier] = counters
                elif counters.packets or counters.bytes:
                    sums[identifier] = Counters(
                        former.packets + counters.packets, former.bytes + counters.bytes
                    )
    return sums


def sum_rule_packets(
    live: Mapping[Family, Ruleset], in_sets: Mapping[str, Counters] | None = None
) -> dict[str, int]:
    """Return the packets of `sum_rule_counters`, without the rules that had none.

    Most lines of most hosts had none, and of these not even the id is read.
    """
    sums = {identifier: counters.packets for identifier, counters in (in_sets or {}).items()}
    for ruleset in live.values():
        for chain in own_chains(ruleset):
            for rule in own_rules(ruleset, chain):
                if rule.counters and rule.counters.packets and (found := rule_id_of(rule.text)) is not None:
                    sums[found] = sums.get(found, 0) + rule.counters.packets
    return sums


def sum_refused(live: Ruleset) -> Counters | None:
    """Return the packets and bytes that no rule allowed; None without a chain FILTERS.

    Where packets are dispatched, the labelled line of FILTERS leads to the one that refuses.
    """
    found = [
        rule.counters or Counters(0, 0)
        for chain in own_chains(live)
        if (rule := last_own_rule(live, chain)) is not None
        and label_of(rule.text)
        and rule.target is not None
        and not rule.target.goto
    ]
    if not found:
        last = last_own_rule(live, FILTERS)
        return last.counters if last is not None else None
    return Counters(sum(each.packets for each in found), sum(each.bytes for each in found))


def count_refused(save: str) -> int:
    """Return how many packets dockerfw's chains refused, blocks included, by the counters of a save."""
    found = (match for match in _REFUSING.finditer(save) if is_own_chain(match[2]))
    return sum(int(match[1]) for match in found)


def _family_state(live: Ruleset) -> FamilyState:
    rules = own_rules(live, FILTERS)
    return FamilyState(
        label=label_of(rules[-1].text) if rules else None,
        host_anchor=anchor_place(live, INPUT, HOST_ANCHOR),
        container_anchors={
            name: anchor_place(live, DOCKER_USER, container_anchor(name))
            for name in anchored_interfaces(live)
        },
        docker_user=live.chain("filter", DOCKER_USER) is not None,
        docker_user_jumped=docker_user_jumped(live),
    )
