"""What the kernel holds of dockerfw: which revision, whether the anchors are first, what the rules have seen.

Reads live rulesets only. A page may say "protected" only from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.anchors import AnchorPlace, anchor_place, anchored_interfaces
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
from dockerfw.chains.warnings import docker_user_jumped
from dockerfw.iptables.model import Counters, Family, Ruleset


@dataclass(frozen=True, slots=True)
class FamilyState:
    """One family: what is loaded (None: nothing of ours) and whether packets reach it."""

    label: Label | None
    host_anchor: AnchorPlace
    container_anchors: Mapping[str, AnchorPlace]
    docker_user: bool
    docker_user_jumped: bool

    @property
    def revision(self) -> int | None:
        """The number of the loaded revision, None when nothing of ours is loaded."""
        return self.label.revision if self.label else None

    @property
    def digest(self) -> str | None:
        """The first 12 digits of the loaded document's digest."""
        return self.label.digest if self.label else None


@dataclass(frozen=True, slots=True)
class KernelState:
    """Both families as they are."""

    families: Mapping[Family, FamilyState]

    @property
    def label(self) -> Label | None:
        """The label that all families agree on, else None."""
        labels = {state.label for state in self.families.values()}
        return labels.pop() if len(labels) == 1 else None


def read_kernel_state(live: Mapping[Family, Ruleset]) -> KernelState:
    """Read what is loaded, for each family given."""
    return KernelState({family: _family_state(ruleset) for family, ruleset in live.items()})


def sum_rule_counters(live: Mapping[Family, Ruleset]) -> dict[str, Counters]:
    """Sum the packets and bytes that each document rule has let through, by rule id, over families."""
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
