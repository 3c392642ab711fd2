"""The plan of a load: what it would change in the kernel, and what stays.

Compares a document with live rulesets, by canonical form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dockerfw.chains.anchors import AnchorChange, anchor_work, wanted_anchors
from dockerfw.chains.bypass import bypass_warnings
from dockerfw.chains.forwarding import Jumps, add_own_jumps
from dockerfw.chains.group_packets import multicast_warnings
from dockerfw.chains.interface_warnings import docker_bridges
from dockerfw.chains.ipsec import ipsec_warnings
from dockerfw.chains.log_lines import misses_log_lines
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import (
    FILTERS,
    FORWARD,
    body,
    is_dockerfw_rule,
    label_of,
    own_chains,
    own_rules,
    rule_id_of,
    sort_chains,
)
from dockerfw.chains.owners import ForeignChain, foreign_chains
from dockerfw.chains.pairing import Pairing, pair_chains
from dockerfw.chains.redirects import redirect_warnings
from dockerfw.chains.refusals import Refusal, find_refusals
from dockerfw.chains.render import render, written_order
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.set_plan import SetChange, plan_sets
from dockerfw.chains.static_sets import SetState, StaticSet
from dockerfw.chains.untracked import untracked_warnings
from dockerfw.chains.warnings import PlanWarning, document_warnings, family_warnings
from dockerfw.chains.without_ip_set import without_ip_set_warnings
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES, Family, Rule, Ruleset
from dockerfw.simulation.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A rule of the plan: `text` is without `-A CHAIN`; packets and bytes are its counters so far."""

    chain: str
    text: str
    packets: int = 0
    bytes: int = 0

    @property
    def rule_id(self) -> str | None:
        """The id of the document rule, None for a line of none."""
        return rule_id_of(self.text)


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """The changes for one IP version. `reordered` names chains whose paired rules are in another order.

    `held` are the rules of the kernel that stay, which are nearly all, and mostly only counted. `creates` and
    `removes` name chains of dockerfw's that the load adds and takes away.
    """

    added: tuple[PlanLine, ...]
    removed: tuple[PlanLine, ...]
    held: tuple[Rule, ...]
    reordered: tuple[str, ...]
    anchors: tuple[AnchorChange, ...]
    adopted: tuple[PlanLine, ...]
    creates: tuple[str, ...]
    creates_docker_user: bool
    foreign: tuple[ForeignChain, ...]
    removes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> tuple[PlanLine, ...]:
        """The rules that stay, as lines of the plan."""
        return tuple(map(_line, self.held))

    @property
    def empty(self) -> bool:
        """True if every rule, chain and anchor is in place already."""
        return not (self.added or self.removed or self.reordered or self.anchors or self.adopted) and not (
            self.creates or self.removes or self.creates_docker_user
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes on a host. `relabel`: only the revision's label in the kernel would change.

    With `refusals` the document must not be loaded, whatever the changes are. `sets` are the changes of
    source lists in static sets. `logs` is "adds" or "removes" if the load changes whether, or to which group,
    refused packets are logged.
    """

    families: Mapping[Family, FamilyPlan]
    warnings: tuple[PlanWarning, ...]
    relabel: bool
    refusals: tuple[Refusal, ...] = ()
    sets: tuple[SetChange, ...] = ()
    logs: Literal["", "adds", "removes"] = ""

    @property
    def changes_rules(self) -> bool:
        """True if the load would change a rule, a chain, an anchor or a set, and not only the label."""
        return bool(self.sets) or any(not plan.empty for plan in self.families.values())

    @property
    def empty(self) -> bool:
        """True if the load would change nothing."""
        return not (self.relabel or self.refusals or self.changes_rules or self.logs)


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
    known_sets: Sequence[StaticSet] = (),
    set_states: Mapping[str, SetState] | None = None,
    limits: Thresholds = USUAL,
    log_group: int | Literal[""] | None = "",
) -> Plan:
    """Plan the load of a document over the live rulesets, for each family given, with its warnings.

    `plan_rules` says what is what. Three are only for warnings: `surroundings` are the host's interfaces and
    routes, `foreign_tables` and `redirecting_tables` are nftables tables that iptables does not show.
    `log_group` is the group to which the host logs refused packets, None where its kernel cannot; an empty
    one leaves log lines out of the plan.
    """
    names = (each.name for each in (surroundings.interfaces if surroundings else ()))
    beside = (foreign_tables, redirecting_tables, docker_bridges(live.values(), names))
    warnings = list(document_warnings(document, surroundings, docker_nftables, *beside))
    if surroundings is not None:
        warnings += multicast_warnings(document, surroundings)
    warnings += without_ip_set_warnings(document, limits)
    containers = FAMILIES if docker_nftables else container_families
    for family, ruleset in live.items():
        anchors = _anchors(document, family, ruleset, containers)
        warnings += family_warnings(document.settings, family, ruleset, anchors)
        warnings += redirect_warnings(document, family, ruleset, surroundings)
        warnings += untracked_warnings(family, ruleset)
        warnings += ipsec_warnings(family, ruleset)
        if not anchors[FORWARD]:
            warnings += bypass_warnings(document, family, ruleset, surroundings, limits)
    rules = plan_rules(
        document,
        live,
        revision=revision,
        container_families=containers,
        known_sets=known_sets,
        set_states=set_states,
        limits=limits,
    )
    logs = "" if log_group == "" else _log_change(document, live.values(), log_group)
    return replace(rules, warnings=tuple(warnings), logs=logs)


def plan_rules(
    document: Document,
    live: Mapping[Family, Ruleset],
    *,
    revision: int | None = None,
    container_families: Collection[Family] = (),
    known_sets: Sequence[StaticSet] = (),
    set_states: Mapping[str, SetState] | None = None,
    limits: Thresholds = USUAL,
) -> Plan:
    """Plan the load of a document over the live rulesets, without warnings.

    `revision` is the number in the new label; None leaves the label out of the comparison.
    `container_families` are those in which container networks have addresses, with Docker's own nftables
    tables maybe each. `known_sets` are static sets whose contents are known, and `set_states` the states of
    those that the kernel holds. `limits` are `WITHOUT_IP_SET` for a host that cannot have ipsets.
    """
    families: dict[Family, FamilyPlan] = {}
    sets: list[SetChange] = []
    relabel = False
    for family, ruleset in live.items():
        anchors = _anchors(document, family, ruleset, container_families)
        wanted = render(document, family, revision or 0, live=ruleset, limits=limits)
        families[family] = _family_plan(wanted, family, ruleset, anchors)
        sets += plan_sets(wanted, family, ruleset, known=known_sets, states=set_states)
        relabel = relabel or (revision is not None and not _has_label(wanted, ruleset))
    changes = bool(sets) or any(not plan.empty for plan in families.values())
    return Plan(families, (), relabel and not changes, find_refusals(document, live, limits), tuple(sets))


def _log_change(
    document: Document, live: Iterable[Ruleset], group: int | None
) -> Literal["", "adds", "removes"]:
    if not any(misses_log_lines(document, ruleset, group) for ruleset in live):
        return ""
    return "adds" if document.settings.log_refused and group is not None else "removes"


def _anchors(document: Document, family: Family, live: Ruleset, containers: Collection[Family]) -> Jumps:
    return add_own_jumps(wanted_anchors(document.settings), live, containers=family in containers)


def _has_label(rendering: Rendering, live: Ruleset) -> bool:
    wanted = label_of(rendering.chains[FILTERS][-1])
    rules = own_rules(live, FILTERS)
    return bool(rules) and label_of(rules[-1].text) == wanted


def _family_plan(rendering: Rendering, family: Family, live: Ruleset, anchors: Jumps) -> FamilyPlan:
    wanted, work = rendering.chains, anchor_work(anchors, live)
    pairings = pair_chains(wanted, live, family)
    shown = written_order(pairings)
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
        added=tuple(
            line for chain in shown for line in _added(chain, wanted.get(chain, ()), pairings[chain])
        ),
        removed=tuple(
            _line(rule) for chain in shown for rule in pairings[chain].rest if id(rule) not in replaced_ids
        ),
        held=tuple(rule for chain in shown for rule in pairings[chain].live if rule is not None),
        reordered=tuple(chain for chain in shown if not pairings[chain].in_order),
        anchors=work.changes,
        adopted=tuple(_line(rule) for rule in adopted),
        creates=tuple(chain for chain in sort_chains(wanted) if live.chain("filter", chain) is None),
        creates_docker_user=work.creates_docker_user,
        foreign=foreign_chains(live, excluded),
        removes=tuple(chain for chain in own_chains(live) if chain not in wanted),
    )


def _is_article_chain(live: Ruleset) -> bool:
    """Return True if dockerfw wrote none of the rules in FILTERS."""
    return not any(is_dockerfw_rule(rule.text) for rule in own_rules(live, FILTERS))


def _added(chain: str, lines: Sequence[str], pairing: Pairing) -> list[PlanLine]:
    pairs = zip(lines, pairing.live, strict=True)
    return [PlanLine(chain, line) for line, rule in pairs if rule is None]


def _line(rule: Rule) -> PlanLine:
    packets, size = (rule.counters.packets, rule.counters.bytes) if rule.counters else (0, 0)
    return PlanLine(rule.chain, body(rule), packets, size)
