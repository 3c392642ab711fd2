"""Read the review page: what applying a document would change, in the history and in the kernel.

Owns nothing but the gathering: the differences are computed by the pure part, the sentence on the kernel by
kernel.py. A page made from a Review carries `draft_version`, which apply_start compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.chains.render import render_restore
from dockerfw.chains.sentences import EMPTY_DOCUMENT
from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.document.document import Document, digest
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.reach.changes import Change
from dockerfw.reach.expectations import ExpectationResult, find_failures
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.session_selectors import LostSessions, lost_sessions
from rules.draft.draft_selectors import base_document, base_revision, draft_document, revision_document
from rules.models import Apply, Host, Revision
from rules.seen.consequence_selectors import expectation_findings, exposure_difference
from rules.seen.snapshot_selectors import SnapshotView, look

EMPTY = "No rule allows anything: everything but the basics will be refused, SSH too."
# The simulator reads this many rules without anybody having to wait.
MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ReviewWarning:
    """Something to know before applying; `family` is None when it is about both."""

    code: str
    message: str
    family: Family | None


@dataclass(frozen=True, slots=True)
class Review:
    """All that the review page shows; `plan` is None while nobody reported what the kernel holds.

    `exposure` says who reaches more or less than now, `findings` whether the document's expectations hold;
    both are not worked out yet unless `weighed`.
    """

    base: Revision | None
    document: Document
    diff: DocumentDiff
    plan: Plan | None
    sentence: KernelSentence
    warnings: tuple[ReviewWarning, ...]
    restore: Mapping[Family, str]
    draft_version: int
    revision_number: int
    waiting: Apply | None
    snapshot: SnapshotView | None
    sessions: LostSessions
    exposure: tuple[Change, ...] = ()
    findings: tuple[ExpectationResult, ...] = ()
    weighed: bool = True

    @property
    def head(self) -> int:
        """The number of the revision confirmed last, 0 for none: what rollback_start expects."""
        return self.base.number if self.base else 0

    @property
    def broken(self) -> tuple[ExpectationResult, ...]:
        """The expectations that would fail: applying needs a reason then."""
        return find_failures(self.findings)

    @property
    def may_break(self) -> bool:
        """Say whether an expectation fails or cannot be told, so that it may fail once it is loaded."""
        return any(each.state != "holds" for each in self.findings)

    @property
    def nothing_to_apply(self) -> bool:
        """Say whether the kernel already holds this document as the confirmed revision."""
        return self.base is not None and self.diff.count == 0 and self.sentence.level == "ok"


@dataclass(frozen=True, slots=True)
class Basis:
    """What is reviewed: a document, the number it would get, and what the order has to expect."""

    document: Document
    revision_number: int
    expects: int


def review_basis(host: Host, number: int | None = None) -> Basis | None:
    """Return what the review of the draft, or of a roll back to a revision, is about.

    None when there is no such revision.
    """
    base = base_revision(host)
    if number is None:
        document = draft_document(host)
        same = base is not None and base.digest == digest(document)
        return Basis(document, base.number if base and same else next_number(host), host.draft_version)
    revision = Revision.objects.filter(host=host, number=number).first()
    if revision is None:
        return None
    head = base.number if base else 0
    return Basis(revision_document(revision), head if number == head else next_number(host), head)


def review(host: Host, *, weigh: bool = True) -> Review:
    """Return what applying the draft would change; `weigh` False leaves out what it means for others."""
    basis = review_basis(host)
    assert basis is not None
    return _review(host, basis, weigh=weigh)


def rollback_review(host: Host, number: int, *, weigh: bool = True) -> Review | None:
    """Return what rolling back to a revision would change, None when there is no such revision."""
    basis = review_basis(host, number)
    return _review(host, basis, weigh=weigh) if basis else None


def quickly_weighed(host: Host, number: int | None = None) -> bool:
    """Say whether it is worked out at once what a load means; thousands of rules take seconds."""
    basis = review_basis(host, number)
    return basis is None or len(basis.document.rules) <= MOST_AT_ONCE


def _review(host: Host, basis: Basis, *, weigh: bool) -> Review:
    sight = look(host)
    base = base_revision(host)
    document, number = basis.document, basis.revision_number
    diff = diff_documents(base_document(host), document)
    live: Mapping[Family, Ruleset] | None = sight.view.rulesets if sight.view else None
    plan = _plan(document, sight.view, number)
    return Review(
        base=base,
        document=document,
        diff=diff,
        plan=plan,
        sentence=kernel_sentence(host, seen=sight),
        warnings=_warnings(document, plan, sight.view, sight.problem),
        restore={
            family: render_restore(document, family, live=live[family] if live else None, revision=number)
            for family in FAMILIES
        },
        draft_version=host.draft_version,
        revision_number=number,
        waiting=unfinished_apply(host),
        snapshot=sight.view,
        sessions=lost_sessions(sight.view, document, diff),
        **(_weighed(sight.view, base_document(host), document, number) if weigh else {"weighed": False}),
    )


def _weighed(
    view: SnapshotView | None, base: Document | None, document: Document, number: int
) -> dict[str, Any]:
    if view is None:
        return {}
    return {
        "exposure": exposure_difference(view, base, document, number),
        "findings": expectation_findings(view, document, number),
    }


def next_number(host: Host) -> int:
    """Return the number that the next revision will get."""
    newest = Revision.objects.filter(host=host).order_by("-number").first()
    return newest.number + 1 if newest else 1


def unfinished_apply(host: Host) -> Apply | None:
    """Return the apply that others have to wait for, None when there is none."""
    return Apply.objects.filter(host=host, state__in=Apply.UNFINISHED).select_related("revision").first()


def _plan(document: Document, view: SnapshotView | None, number: int) -> Plan | None:
    if view is None:
        return None
    return plan_changes(
        document,
        view.rulesets,
        revision=number,
        interfaces=[interface.name for interface in view.snapshot.interfaces],
        docker_nftables=view.snapshot.docker_state == "nftables",
        foreign_tables=view.snapshot.foreign_tables,
    )


def _warnings(
    document: Document, plan: Plan | None, view: SnapshotView | None, problem: str
) -> tuple[ReviewWarning, ...]:
    found: list[ReviewWarning] = []
    if plan is None and not any(rule.enabled for rule in document.rules):
        found.append(ReviewWarning("empty-document", EMPTY_DOCUMENT, None))
    if view is None:
        text = f"What would change in the kernel cannot be shown: {problem}"
        found.append(ReviewWarning("no-snapshot", text, None))
    elif view.stale:
        text = f"What the kernel holds was read {view.age:.0f} seconds ago; it may have changed since."
        found.append(ReviewWarning("stale-snapshot", text, None))
    if plan is not None and view is not None:
        found += [
            ReviewWarning(item.code, item.message, item.family)
            for item in plan.warnings
            if item.code != "docker-not-filtering" or _has_inner_network(view, item.family)
        ]
    return tuple(found)


def _has_inner_network(view: SnapshotView, family: Family | None) -> bool:
    """Say whether an interface that is no way out, such as a bridge, has an address of this family."""
    ways_out = {"lo", *(name for names in view.snapshot.default_routes.values() for name in names)}
    addresses = (
        ip_interface(address)
        for each in view.snapshot.interfaces
        if each.name not in ways_out
        for address in each.addresses
    )
    return any(address.version == family and not address.is_link_local for address in addresses)
