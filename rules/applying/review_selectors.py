"""Read the review page: what applying a proposal would change, in the history and in the kernel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.chains.render import render_restore
from dockerfw.chains.sentences import EMPTY_DOCUMENT
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.every_port import new_every_port_rules
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.messages.snapshot_values import container_families_of, surroundings_of
from dockerfw.reach.changes import Change
from dockerfw.reach.differences import Difference
from dockerfw.reach.expectations import ExpectationResult, find_failures
from rules.applying.apply_selectors import unfinished_apply
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.proposal_selectors import Proposal
from rules.applying.session_selectors import LostSessions, lost_sessions
from rules.draft.basis_selectors import Basis
from rules.models import Apply, Revision
from rules.seen.consequence_selectors import (
    expectation_findings,
    exposure_difference,
    packet_differences,
)
from rules.seen.snapshot_selectors import SnapshotView


@dataclass(frozen=True, slots=True)
class Review:
    """All that the review page shows; `plan` is None without a snapshot.

    `every_port` are the new rules that open every port. `exposure` is the effect on outside access, `packets`
    is what the first load on a host changes whatever listens, `findings` are the results of the document's
    expectations. These three are empty unless `has_effects`.
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
    findings: tuple[ExpectationResult, ...] = ()
    has_effects: bool = True

    @property
    def broken(self) -> tuple[ExpectationResult, ...]:
        """The expectations that would fail; applying then needs a reason."""
        return find_failures(self.findings)

    @property
    def may_break(self) -> bool:
        """Return True if an expectation fails or is unknown, so that it may fail after the load."""
        return any(each.state != "holds" for each in self.findings)

    @property
    def nothing_to_apply(self) -> bool:
        """Return True if the kernel already holds this document as the confirmed revision."""
        return self.base is not None and self.diff.count == 0 and self.sentence.holds_revision


def build_review(basis: Basis, proposal: Proposal, *, effects: bool = True) -> Review:
    """Return what applying a proposal would change.

    `effects` False leaves out the effect on outside access and the expectations, which take a simulation.
    """
    document, number, view = proposal.document, proposal.number, basis.view
    diff = diff_documents(basis.base_document, document)
    live: Mapping[Family, Ruleset] | None = view.rulesets if view else None
    containers = container_families_of(view.snapshot, view.rulesets, document.settings) if view else ()
    plan = _plan(document, view, number, containers)
    return Review(
        base=basis.base,
        document=document,
        diff=diff,
        plan=plan,
        sentence=kernel_sentence(basis),
        warnings=_warnings(document, plan, view, basis.seen.problem),
        restore={
            family: render_restore(
                document,
                family,
                live=live[family] if live else None,
                revision=number,
                containers=family in containers,
            )
            for family in FAMILIES
        },
        draft_version=basis.draft_version,
        revision_number=number,
        waiting=unfinished_apply(basis.host),
        snapshot=view,
        sessions=lost_sessions(view, document, diff),
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
        "findings": expectation_findings(view, document, number),
    }


def _plan(
    document: Document, view: SnapshotView | None, number: int, containers: Collection[Family]
) -> Plan | None:
    if view is None:
        return None
    return plan_changes(
        document,
        view.rulesets,
        revision=number,
        surroundings=surroundings_of(view.snapshot),
        docker_nftables=view.snapshot.docker_state == "nftables",
        foreign_tables=view.snapshot.foreign_tables,
        container_families=containers,
        redirecting_tables=view.snapshot.redirecting_tables,
    )


def _warnings(
    document: Document, plan: Plan | None, view: SnapshotView | None, problem: str
) -> tuple[PlanWarning, ...]:
    found: list[PlanWarning] = []
    if plan is None and not any(rule.enabled for rule in document.rules):
        found.append(PlanWarning("empty-document", EMPTY_DOCUMENT, None))
    if view is None:
        text = f"The changes in the kernel are unknown: {problem}"
        found.append(PlanWarning("no-snapshot", text, None))
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
