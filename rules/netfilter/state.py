"""What the kernel holds of dockerfw: which revision, whether the anchors are first, what the rules have seen.

Reads live rulesets only. A page may say "protected" only from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rules.netfilter.anchors import wanted_anchors
from rules.netfilter.describe import counted
from rules.netfilter.document import digest
from rules.netfilter.document_values import Document, Settings
from rules.netfilter.model import Counters, Family, Ruleset
from rules.netfilter.own import (
    DOCKER_USER,
    FILTERS,
    FILTERS_CONTAINERS,
    HOST_ANCHOR,
    INPUT,
    OWN_CHAINS,
    PANIC,
    PANIC_ANCHOR,
    Label,
    body,
    container_anchor,
    label_of,
    own_rules,
    rule_id_of,
)
from rules.netfilter.owners import FAMILY_NAMES, chain_owner
from rules.netfilter.pairing import pair_lines
from rules.netfilter.plan_warnings import docker_user_bypassed, docker_user_jumped
from rules.netfilter.render import wanted_chains

__all__ = [
    "AnchorPlace",
    "FamilyState",
    "KernelState",
    "Verdict",
    "chain_owner",
    "kernel_state",
    "loaded_matches",
    "rule_counters",
]

AnchorPlace = Literal["first", "not first", "missing"]


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the kernel holds a document with its anchors first; if not, each reason as a sentence."""

    in_sync: bool
    reasons: tuple[str, ...]


def kernel_state(live: Mapping[Family, Ruleset]) -> KernelState:
    """Read what is loaded, for each family given."""
    return KernelState({family: _family_state(ruleset) for family, ruleset in live.items()})


def loaded_matches(document: Document, revision: int, live: Mapping[Family, Ruleset]) -> Verdict:
    """Compare the kernel with a revision's document; a family that is not given counts as not known."""
    reasons: list[str] = []
    for family in FAMILY_NAMES:
        if family not in live:
            reasons.append(f"{FAMILY_NAMES[family]}: the rules could not be read.")
            continue
        found = [
            *_chain_reasons(document, revision, family, live[family]),
            *_anchor_reasons(document.settings, live[family]),
        ]
        reasons += [f"{FAMILY_NAMES[family]}: {reason}" for reason in found]
    return Verdict(not reasons, tuple(reasons))


def rule_counters(live: Mapping[Family, Ruleset]) -> dict[str, Counters]:
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
        host_anchor=_anchor_place(live, INPUT, HOST_ANCHOR),
        container_anchors={
            name: _anchor_place(live, DOCKER_USER, container_anchor(name))
            for name in _anchored_interfaces(live)
        },
        docker_user=live.chain("filter", DOCKER_USER) is not None,
        docker_user_jumped=docker_user_jumped(live),
    )


def _anchored_interfaces(live: Ruleset) -> list[str]:
    chain = live.chain("filter", DOCKER_USER)
    found = (rule.text.split() for rule in (chain.rules if chain else ()))
    names = [
        words[3] for words in found if len(words) == 6 and words[2] == "-i" and words[5] == FILTERS_CONTAINERS
    ]
    return sorted(set(names))


def _anchor_place(live: Ruleset, chain: str, text: str) -> AnchorPlace:
    """Say where an anchor stands; anchors of other interfaces before it do not count."""
    found = live.chain("filter", chain)
    for rule in found.rules if found else ():
        if body(rule) == text:
            return "first"
        if body(rule) != PANIC_ANCHOR and not body(rule).endswith(f" -j {FILTERS_CONTAINERS}"):
            break
    present = found is not None and any(body(rule) == text for rule in found.rules)
    return "not first" if present else "missing"


def _chain_reasons(document: Document, revision: int, family: Family, live: Ruleset) -> list[str]:
    rules = own_rules(live, FILTERS)
    label = label_of(rules[-1].text) if rules else None
    if label is None:
        return ["nothing of dockerfw is loaded." if not rules else "the chain FILTERS is not dockerfw's."]
    wanted = wanted_chains(document, family, revision)
    missing = unwanted = 0
    shuffled = False
    for chain in OWN_CHAINS:
        pairing = pair_lines(chain, wanted[chain], own_rules(live, chain), family)
        missing += sum(1 for rule in pairing.live if rule is None)
        unwanted += len(pairing.rest)
        shuffled = shuffled or not pairing.in_order
    reasons = []
    if label != Label(revision, digest(document)[:12]):
        reasons.append(f"the kernel says that revision {label.revision} ({label.digest}) is loaded.")
    if missing:
        reasons.append(f"{counted(missing, 'rule')} of revision {revision} {_are(missing)} not loaded.")
    if unwanted:
        reasons.append(
            f"{counted(unwanted, 'rule')} {_are(unwanted)} loaded that revision {revision} does not have."
        )
    if shuffled and not (missing or unwanted):
        reasons.append("the rules are loaded in another order.")
    return reasons


def _anchor_reasons(settings: Settings, live: Ruleset) -> list[str]:
    reasons = []
    if live.chain("filter", PANIC) is not None:
        reasons.append("somebody on its console has called a panic, so all but who was named is refused.")
    for chain, anchors in wanted_anchors(settings).items():
        for text in anchors:
            place = _anchor_place(live, chain, text)
            if place == "missing":
                reasons.append(f"{chain} does not call dockerfw ({text} is missing).")
            elif place == "not first":
                reasons.append(f"somebody's rule stands before {text} in {chain}.")
    reasons += [
        f"{DOCKER_USER} still calls dockerfw for {name}, which is not external any more."
        for name in _anchored_interfaces(live)
        if name not in settings.external_interfaces
    ]
    if settings.external_interfaces and docker_user_bypassed(live):
        reasons.append("FORWARD does not call DOCKER-USER, so rules for containers have no effect.")
    return reasons


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
