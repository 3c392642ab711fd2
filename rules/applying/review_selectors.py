"""Read the review page: what applying a proposal would change, in the history and in the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any, Final

from dockerfw.chains.match_groups import USUAL
from dockerfw.chains.plan import Plan
from dockerfw.chains.render import render_restore
from dockerfw.chains.sentences import EMPTY_DOCUMENT
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.diff import DocumentDiff
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.every_port import new_every_port_rules
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.messages.snapshot_values import limits_of
from dockerfw.reach.changes import Change
from dockerfw.reach.container_access import NO_EFFECT, ContainerEffect
from dockerfw.reach.differences import Difference
from dockerfw.reach.expectations import ExpectationResult, find_failures
from rules.applying.apply_selectors import unfinished_apply
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.list_protection_selectors import list_doubts
from rules.applying.plan_selectors import container_families, holds_already, plan_load
from rules.applying.proposal_selectors import Proposal
from rules.applying.session_selectors import LostSessions, lost_sessions
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import document_diff, settings_mark
from rules.models import Apply, Revision
from rules.seen.consequence_selectors import (
    container_effect,
    containers_question,
    expectation_findings,
    exposure_difference,
    packet_differences,
)
from rules.seen.snapshot_selectors import SnapshotView

STATES: Final = ("fails", "unknown", "holds")


@dataclass(frozen=True, slots=True)
class Review:
    """All that the review page shows; `plan` is None without a snapshot.

    `every_port` are the new rules that open every port. `exposure` is the effect on outside access, `packets`
    is what the first load on a host changes whatever listens, `containers` is the effect on what containers
    reach on the host, `findings` are the results of the document's expectations. These four are empty unless
    `has_effects`. `question` is what the first review asks about containers, "" if it asks nothing. `mark` is
    that of the draft's settings.
    """

    base: Revision | None
    document: Document
    diff: DocumentDiff
    plan: Plan | None
    sentence: KernelSentence
    warnings: tuple[PlanWarning, ...]
    restore: Mapping[Family, str]
    draft_version: int
    revision_number: int
    waiting: Apply | None
    snapshot: SnapshotView | None
    sessions: LostSessions
    every_port: tuple[DocumentRule, ...]
    exposure: tuple[Change, ...] = ()
    packets: tuple[Difference, ...] = ()
    containers: ContainerEffect = NO_EFFECT
    findings: tuple[ExpectationResult, ...] = ()
    question: str = ""
    mark: str = ""
    has_effects: bool = True

    @property
    def broken(self) -> tuple[ExpectationResult, ...]:
        """The expectations that would fail; applying then needs a reason."""
        return find_failures(self.findings)

    @property
    def findings_by_weight(self) -> tuple[ExpectationResult, ...]:
        """The results, those that fail first, then the unknown ones."""
        return tuple(sorted(self.findings, key=lambda each: STATES.index(each.state)))

    @property
    def may_break(self) -> bool:
        """Return True if an expectation fails or is unknown, so that it may fail after the load."""
        return any(each.state != "holds" for each in self.findings)

    @property
    def nothing_to_apply(self) -> bool:
        """Return True if the kernel already holds what this release would load for the confirmed revision."""
        return self.base is not None and self.diff.count == 0 and holds_already(self.sentence, self.plan)

    @property
    def loads_again(self) -> bool:
        """Return True if an apply loads the confirmed revision again and makes no new one."""
        return self.base is not None and self.base.number == self.revision_number


def build_review(basis: Basis, proposal: Proposal, *, effects: bool = True) -> Review:
    """Return what applying a proposal would change.

    `effects` False leaves out the effect on outside access and the expectations, which take a simulation.
    """
    document, number, view = proposal.document, proposal.number, basis.view
    diff = document_diff(basis.base_document, document)
    live: Mapping[Family, Ruleset] | None = view.rulesets if view else None
    containers = container_families(view, document) if view else ()
    plan = plan_load(view, document, number) if view else None
    sentence = kernel_sentence(basis)
    held = basis.base_document if sentence.holds_revision else None
    return Review(
        base=basis.base,
        document=document,
        diff=diff,
        plan=plan,
        sentence=sentence,
        warnings=(
            *_warnings(document, plan, view, basis.seen.problem),
            *(PlanWarning("list", doubt.text) for doubt in list_doubts(basis.host, document)),
        ),
        restore={
            family: render_restore(
                document,
                family,
                live=live[family] if live else None,
                revision=number,
                containers=family in containers,
                limits=limits_of(view.snapshot) if view else USUAL,
            )
            for family in FAMILIES
        },
        draft_version=basis.draft_version,
        revision_number=number,
        waiting=unfinished_apply(basis.host),
        snapshot=view,
        sessions=lost_sessions(view, document, diff, held),
        every_port=new_every_port_rules(basis.base_document, document),
        **(_effects(basis, proposal) if effects else {"has_effects": False}),
    )


def _effects(basis: Basis, proposal: Proposal) -> dict[str, Any]:
    document, number, view = proposal.document, proposal.number, basis.view
    if view is None:
        return {}
    return {
        "exposure": exposure_difference(view, basis.base_document, document, number),
        "packets": packet_differences(view, document),
        "containers": (containers := container_effect(view, document, number)),
        "question": containers_question(basis.base_document, document, containers),
        "mark": settings_mark(basis.host),
        "findings": expectation_findings(view, document, number),
    }


def _warnings(
    document: Document, plan: Plan | None, view: SnapshotView | None, problem: str
) -> tuple[PlanWarning, ...]:
    found: list[PlanWarning] = []
    if plan is None and not any(rule.enabled for rule in document.rules):
        found.append(PlanWarning("empty-document", EMPTY_DOCUMENT, None))
    if view is None:
        text = f"The changes in the kernel are unknown: {problem}"
        found.append(PlanWarning("no-snapshot", text, None))
    elif view.overtaken_by is not None:
        found.append(PlanWarning("stale-snapshot", view.overtaken, None))
    elif view.stale:
        text = f"The kernel's rules were read {view.when} and may have changed since."
        found.append(PlanWarning("stale-snapshot", text, None))
    if plan is not None and view is not None:
        found += [
            item
            for item in plan.warnings
            if item.code != "docker-not-filtering" or _has_inner_network(view, item.family)
        ]
    return tuple(found)


def _has_inner_network(view: SnapshotView, family: Family | None) -> bool:
    """Return True if an internal interface, such as a bridge, has an address of this family."""
    ways_out = {"lo", *(name for names in view.snapshot.default_routes.values() for name in names)}
    addresses = (
        ip_interface(address)
        for each in view.snapshot.interfaces
        if each.name not in ways_out
        for address in each.addresses
    )
    return any(address.version == family and not address.is_link_local for address in addresses)
