"""The state of dockerfw's rules in the kernel: the loaded revision, the anchors, and the rules' counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.anchors import AnchorPlace, anchor_place, anchored_interfaces
from dockerfw.chains.forwarding import docker_user_jumped
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    HOST_ANCHOR,
    INPUT,
    OWN_CHAINS,
    Label,
    container_anchor,
    label_of,
    own_rules,
    rule_id_of,
)
from dockerfw.iptables.model import Counters, Family, Ruleset


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


def sum_rule_counters(live: Mapping[Family, Ruleset]) -> dict[str, Counters]:
    """Return the packets and bytes that each document rule has allowed, by rule id, summed over families."""
    sums: dict[str, Counters] = {}
    for ruleset in live.values():
        for chain in OWN_CHAINS:
            for rule in own_rules(ruleset, chain):
                identifier = rule_id_of(rule.text)
                if identifier is None or rule.counters is None:
                    continue
                former = sums.get(identifier, Counters(0, 0))
                sums[identifier] = Counters(
                    former.packets + rule.counters.packets, former.bytes + rule.counters.bytes
                )
    return sums


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
