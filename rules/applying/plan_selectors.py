"""Read the plan of a load, and whether there is anything to apply: a change of document or kernel."""

from __future__ import annotations

from collections.abc import Collection

from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.document.document import Document, digest
from dockerfw.iptables.model import Family
from dockerfw.messages.snapshot_values import (
    container_families_of,
    limits_of,
    set_states_of,
    surroundings_of,
)
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.proposal_selectors import Proposal
from rules.draft.basis_selectors import Basis
from rules.seen.about_selectors import reported_log_group
from rules.seen.loaded_selectors import loaded_static_sets
from rules.seen.snapshot_selectors import SnapshotView


def plan_load(view: SnapshotView, document: Document, number: int) -> Plan:
    """Return what loading a document as revision `number` would change in the kernel of a snapshot."""
    return plan_changes(
        document,
        view.rulesets,
        revision=number,
        surroundings=surroundings_of(view.snapshot),
        docker_nftables=view.snapshot.docker_state == "nftables",
        foreign_tables=view.snapshot.foreign_tables,
        container_families=container_families(view, document),
        redirecting_tables=view.snapshot.redirecting_tables,
        known_sets=loaded_static_sets(view.loaded),
        set_states=set_states_of(view.snapshot),
        limits=limits_of(view.snapshot),
        log_group=reported_log_group(view.snapshot.host),
    )


def container_families(view: SnapshotView, document: Document) -> Collection[Family]:
    """Return the families in which container networks have addresses."""
    return container_families_of(view.snapshot, view.rulesets, document.settings)


def holds_already(sentence: KernelSentence, plan: Plan | None) -> bool:
    """Return True if the kernel holds the confirmed revision and loading it again would change no rule.

    The kernel can hold a revision as it was loaded while this release would write some of its rules
    differently. Then an apply loads the revision again.
    """
    return sentence.holds_revision and (plan is None or not plan.changes_rules)


def is_loaded(basis: Basis, proposal: Proposal) -> bool:
    """Return True if there is nothing to apply: the kernel holds what the proposal would load."""
    if basis.base is None or basis.base.digest != digest(proposal.document):
        return False
    sentence = kernel_sentence(basis)
    # The plan takes longer than the sentence, which is remembered.
    if not sentence.holds_revision or basis.view is None:
        return False
    return holds_already(sentence, plan_load(basis.view, proposal.document, proposal.number))
