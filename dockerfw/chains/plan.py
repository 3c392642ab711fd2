"""The plan of a load: what it would change in the kernel, and what stays.

Compares a document with live rulesets, by canonical form.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dockerfw.chains.anchors import AnchorChange, AnchorWork, anchor_work, wanted_anchors
from dockerfw.chains.bypass import bypass_warnings
from dockerfw.chains.forwarding import Jumps, add_own_jumps
from dockerfw.chains.interface_warnings import docker_bridges
from dockerfw.chains.names import (
    FILTERS,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    FORWARD,
    OWN_CHAINS,
    body,
    is_dockerfw_rule,
    label_of,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.owners import ForeignChain, foreign_chains
from dockerfw.chains.pairing import Pairing, pair_lines
from dockerfw.chains.redirects import redirect_warnings
from dockerfw.chains.refusals import Refusal, find_refusals
from dockerfw.chains.render import wanted_chains
from dockerfw.chains.untracked import untracked_warnings
from dockerfw.chains.warnings import PlanWarning, document_warnings, family_warnings
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.simulation.surroundings import Surroundings

_SHOWN_ORDER = (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS)


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A rule of the plan: `text` is without `-A CHAIN`; packets and bytes are its counters so far."""

    chain: str
    text: str
    rule_id: str | None = None
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """The changes for one IP version. `reordered` names chains whose paired rules are in another order."""

    added: tuple[PlanLine, ...]
    removed: tuple[PlanLine, ...]
    unchanged: tuple[PlanLine, ...]
    reordered: tuple[str, ...]
    anchors: tuple[AnchorChange, ...]
    adopted: tuple[PlanLine, ...]
    creates: tuple[str, ...]
    creates_docker_user: bool
    foreign: tuple[ForeignChain, ...]

    @property
    def empty(self) -> bool:
        """True if every rule, chain and anchor is in place already."""
        return (
            not (self.added or self.removed or self.reordered or self.anchors or self.adopted or self.creates)
            and not self.creates_docker_user
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes on a host. `relabel`: only the revision's label in the kernel would change.

    With `refusals` the document must not be loaded, whatever the changes are.
    """

    families: Mapping[Family, FamilyPlan]
    warnings: tuple[PlanWarning, ...]
    relabel: bool
    refusals: tuple[Refusal, ...] = ()

    @property
    def empty(self) -> bool:
        """True if the load would change nothing."""
        return not self.relabel and not self.refusals and all(plan.empty for plan in self.families.values())


def plan_changes(
    document: Document,
    live: Mapping[Family, Ruleset],
    *,
    revision: int | None = None,
    surroundings: Surroundings | None = None,
    docker_nftables: bool = False,
    foreign_tables: Sequence[str] = (),
    redirecting_tables: Sequence[str] = (),
    container_families: Collection[Family] = (),
) -> Plan:
    """Plan the load of a document over the live rulesets, for each family given.

    `revision` is the number in the new label; None leaves the label out of the comparison.
    `container_families` are those in which container networks have addresses; `docker_nftables` means that
    Docker filters with nftables itself, and so may have them in each. Three are only for warnings:
    `surroundings` are the host's interfaces and routes, `foreign_tables` and `redirecting_tables` are
    nftables tables that iptables does not show.
    """
    families: dict[Family, FamilyPlan] = {}
    names = (each.name for each in (surroundings.interfaces if surroundings else ()))
    beside = (foreign_tables, redirecting_tables, docker_bridges(live.values(), names))
    warnings = list(document_warnings(document, surroundings, docker_nftables, *beside))
    relabel = False
    for family, ruleset in live.items():
        wanted = wanted_anchors(document.settings)
        containers = docker_nftables or family in container_families
        anchors = add_own_jumps(wanted, ruleset, containers=containers)
        work = anchor_work(anchors, ruleset)
        families[family] = _family_plan(document, family, ruleset, work, anchors, revision or 0)
        warnings += family_warnings(document.settings, family, ruleset, anchors)
        warnings += redirect_warnings(document, family, ruleset)
        warnings += untracked_warnings(family, ruleset)
        if not anchors[FORWARD]:
            warnings += bypass_warnings(document, family, ruleset, surroundings)
        relabel = relabel or (revision is not None and not _has_label(document, family, ruleset, revision))
    changes = any(not plan.empty for plan in families.values())
    refusals = find_refusals(document, live)
    return Plan(families, tuple(warnings), relabel and not changes, refusals)


def _has_label(document: Document, family: Family, live: Ruleset, revision: int) -> bool:
    wanted = label_of(wanted_chains(document, family, revision)[FILTERS][-1])
    rules = own_rules(live, FILTERS)
    return bool(rules) and label_of(rules[-1].text) == wanted


def _family_plan(
    document: Document, family: Family, live: Ruleset, work: AnchorWork, anchors: Jumps, revision: int
) -> FamilyPlan:
    wanted = wanted_chains(document, family, revision)
    pairings = {
        chain: pair_lines(chain, wanted[chain], own_rules(live, chain), family) for chain in OWN_CHAINS
    }
    replaced = [rule for rule in pairings[FILTERS].rest if _is_article_chain(live)]
    adopted = [*work.adopted, *replaced]
    replaced_ids = {id(rule) for rule in replaced}
    excluded = [
        *work.delete,
        *(
            rule
            for chain, texts in anchors.items()
            if (found := live.chain("filter", chain))
            for rule in found.rules
            if body(rule) in texts
        ),
    ]
    return FamilyPlan(
        added=tuple(line for chain in _SHOWN_ORDER for line in _added(chain, wanted[chain], pairings[chain])),
        removed=tuple(
            _line(rule)
            for chain in _SHOWN_ORDER
            for rule in pairings[chain].rest
            if id(rule) not in replaced_ids
        ),
        unchanged=tuple(
            _line(rule) for chain in _SHOWN_ORDER for rule in pairings[chain].live if rule is not None
        ),
        reordered=tuple(chain for chain in _SHOWN_ORDER if not pairings[chain].in_order),
        anchors=work.changes,
        adopted=tuple(_line(rule) for rule in adopted),
        creates=tuple(chain for chain in OWN_CHAINS if live.chain("filter", chain) is None),
        creates_docker_user=work.creates_docker_user,
        foreign=foreign_chains(live, excluded),
    )


def _is_article_chain(live: Ruleset) -> bool:
    """Return True if dockerfw wrote none of the rules in FILTERS."""
    return not any(is_dockerfw_rule(rule.text) for rule in own_rules(live, FILTERS))


def _added(chain: str, lines: Sequence[str], pairing: Pairing) -> list[PlanLine]:
    pairs = zip(lines, pairing.live, strict=True)
    return [PlanLine(chain, line, rule_id_of(line)) for line, rule in pairs if rule is None]


def _line(rule: Rule) -> PlanLine:
    packets, size = (rule.counters.packets, rule.counters.bytes) if rule.counters else (0, 0)
    return PlanLine(rule.chain, body(rule), rule_id_of(rule.text), packets, size)
