"""Describe what the kernel holds in one sentence, and never claim more than a fresh snapshot shows.

The level is ok only when a fresh snapshot shows our jumps first and our chains equal to the base revision, in
both families. It is unknown when the last snapshot is old.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from django.conf import settings
from django.utils import timezone

from dockerfw.chains.drift import OF_DOCKER, WAYS_IN, WITHOUT_EFFECT, Drift
from dockerfw.chains.sentences import describe_redirecting_tables, describe_tables, of_family
from dockerfw.iptables.model import FAMILY_NAMES
from dockerfw.messages.snapshot_values import container_families_of, drift_of
from rules.applying.apply_selectors import awaiting_view
from rules.applying.list_protection_selectors import list_doubts
from rules.applying.unknown_apply_selectors import unknown_apply
from rules.applying.window_selectors import WindowView
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import revision_document
from rules.models import Apply, Host, Revision
from rules.seen.change_selectors import FRESH_SECONDS
from rules.seen.loaded_selectors import loaded_renderings
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import Look, SnapshotView
from rules.seen.surroundings_selectors import content_key, times_over

Level = Literal["ok", "warn", "bad", "unknown"]

UNKNOWN_ORDER = (
    "Another program wrote to Redis, or the database was restored from a backup. Check the audit log. The"
    " next apply that you keep ends this warning."
)

# Comparing thousands of rules takes a while, and a dashboard asks for every snapshot.
_drifts: Memory[Drift] = Memory(8)


@dataclass(frozen=True, slots=True)
class KernelSentence:
    """The sentence on top of the dashboard.

    `reasons` name each thing that is wrong, or the other tables that filter too. `drift` is the difference
    from the confirmed revision, None where the sentence is about something else. `awaiting` is true while
    the kernel holds a revision that is not confirmed yet, `by_lists` if only its lists are not as they should
    be.
    """

    level: Level
    text: str
    reasons: tuple[str, ...]
    taken_at: datetime | None
    stale: bool = False
    drift: Drift | None = None
    awaiting: bool = False
    by_lists: bool = False

    @property
    def age(self) -> float | None:
        """The seconds since the kernel was read, None if it never was."""
        return None if self.taken_at is None else (timezone.now() - self.taken_at).total_seconds()

    @property
    def holds_revision(self) -> bool:
        """True if the kernel holds the revision, also if packets from outside can bypass it."""
        if self.level == "ok" or self.by_lists:
            return True
        return self.drift is not None and all(each.code in WAYS_IN for each in self.drift.findings)


def kernel_sentence(basis: Basis) -> KernelSentence:
    """Describe what the kernel holds: the host's confirmed revision, or what nobody here ordered."""
    return describe_kernel(basis.host, basis.base, basis.seen)


def describe_kernel(host: Host, base: Revision | None, seen: Look) -> KernelSentence:
    """Describe what the kernel of a host holds, whose confirmed revision is `base`."""
    found = _with_lists(host, base, _describe(host, base, seen))
    unknown = unknown_apply(host)
    if unknown is None:
        return found
    text = f"Not protected: this host {'keeps' if unknown.kept else 'has loaded'} {unknown.target or 'rules'}"
    text = f"{text}, and this dashboard has no record of that order."
    return replace(found, level="bad", text=text, reasons=(UNKNOWN_ORDER, found.text, *found.reasons))


def _with_lists(host: Host, base: Revision | None, found: KernelSentence) -> KernelSentence:
    """Return the sentence of a revision that is active, with what its lists lack."""
    if found.level != "ok" or base is None:
        return found
    doubts = list_doubts(host, revision_document(base))
    if not doubts:
        return found
    blocks = any(doubt.blocks for doubt in doubts)
    lists = "a list blocks too little" if blocks else "a list is not as its rules need it"
    text = f"Revision {base.number} is active, but {lists}."
    reasons = (*(doubt.text for doubt in doubts), *found.reasons)
    return replace(found, level="warn", text=text, reasons=reasons, by_lists=True)


def _describe(host: Host, base: Revision | None, seen: Look) -> KernelSentence:
    view = seen.view
    if view is None:
        problem = seen.problem
        return KernelSentence(
            "unknown", "Unknown: there is no report of what the kernel holds.", (problem,), None, stale=True
        )
    waiting = awaiting_view(host)
    if waiting is not None and waiting.window is not None and not waiting.window.over:
        return _describe_awaiting(view, waiting.apply, waiting.window)
    if base is None:
        return _describe_unapplied(view)
    return measure_revision(view, base)


def _describe_unapplied(view: SnapshotView) -> KernelSentence:
    text = "Nothing has been applied yet: this host has no confirmed revision."
    return KernelSentence("unknown" if view.stale else "warn", text, (), view.taken_at, stale=view.stale)


def _describe_awaiting(view: SnapshotView, apply: Apply, window: WindowView) -> KernelSentence:
    """Describe a loaded revision that is not confirmed yet, as far as a snapshot shows it."""
    number = apply.revision.number
    unless = f"The previous rules return at {window.until} unless {apply.requested_by} clicks Keep."
    if view.stale or view.taken_at < window.opened_at:
        text = f"Revision {number} was loaded. {unless}"
        reasons = (_describe_last_look(view, apply.revision, window),)
        return KernelSentence("unknown", text, reasons, view.taken_at, stale=view.stale, awaiting=True)
    found = measure_revision(view, apply.revision)
    if not found.holds_revision:
        text = f"The kernel does not hold revision {number} as it was loaded. {unless}"
        return KernelSentence("bad", text, found.reasons, view.taken_at)
    text = f"Revision {number} is loaded for IPv4 and IPv6. {unless}"
    bypassed = found.reasons if found.drift else ()
    return KernelSentence("warn", text, bypassed, view.taken_at, awaiting=not bypassed)


def _describe_last_look(view: SnapshotView, revision: Revision, window: WindowView) -> str:
    """Describe what a snapshot of no current state shows of a loaded revision.

    In its window the root worker reads the kernel once, after the load, so that no answer waits for a look.
    """
    if view.taken_at < window.opened_at or view.ahead > FRESH_SECONDS:
        return "The kernel has not been read since."
    if view.snapshot.unread:
        return f"{view.when} not all rules in the kernel could be read."
    held = "held it" if not _find_drift(view, revision).findings else "did not hold it as it was loaded"
    return f"{view.when} the kernel {held}. It is read again when the window has ended."


def measure_revision(view: SnapshotView, revision: Revision) -> KernelSentence:
    """Compare a snapshot with the revision that should be active."""
    if view.overtaken_by is not None:
        # What it shows was replaced since, so there is no drift to tell.
        text = f"Unknown: the kernel has not been read since {view.overtaken_by.text}."
        return KernelSentence("unknown", text, (), view.taken_at, stale=True)
    if unreadable := _describe_unreadable(view):
        return unreadable
    drift = _find_drift(view, revision)
    reasons = tuple(finding.message for finding in drift.findings)
    if view.stale:
        bypassed = {finding.code for finding in drift.findings} <= WITHOUT_EFFECT
        held = "held" if bypassed else "did not hold"
        told = f"Unknown: {view.when} the kernel {held} revision {revision.number}"
        but = ", but packets could bypass it" if drift.findings and bypassed else ""
        text = f"{told}{but}. It has not been read since."
        return KernelSentence("unknown", text, reasons, view.taken_at, stale=True)
    if not drift.findings:
        return _describe_protected(view, revision)
    if drift.unknown:
        text = f"Unknown: cannot tell whether revision {revision.number} protects this host."
        return KernelSentence("unknown", text, reasons, view.taken_at, drift=drift)
    return KernelSentence("bad", _describe_drift(drift, revision), reasons, view.taken_at, drift=drift)


def _describe_unreadable(view: SnapshotView) -> KernelSentence | None:
    """Return the sentence about rules that are not all known, None if they are."""
    snapshot = view.snapshot
    if snapshot.unprinted:
        reasons = tuple(of_family(family, f"{one.sentence}.") for family, one in snapshot.unprinted)
        text = "Cannot tell what is protected: not all rules in the kernel can be read."
        return KernelSentence("bad", text, reasons, view.taken_at, stale=view.stale)
    if snapshot.unread:
        failed = tuple(
            f"{' '.join(error.command)} failed: {error.stderr.strip() or 'no message'}"
            for error in snapshot.errors
        )
        text = "Unknown: the kernel's rules could not be read completely."
        return KernelSentence("unknown", text, failed, view.taken_at, stale=view.stale)
    return None


def _find_drift(view: SnapshotView, revision: Revision) -> Drift:
    """Return the drift from a revision; it is remembered for what it depends on."""
    snapshot, document = view.snapshot, revision_document(revision)
    # Its counters are not among these: they move with every look.
    known = (
        container_families_of(snapshot, view.rulesets, document.settings),
        content_key(view),
        times_over(view, document),
        snapshot.families,
        snapshot.unread,
        snapshot.docker_state,
        snapshot.confirmed,
        snapshot.foreign_tables,
        snapshot.interfaces_known,
        snapshot.static_sets,
    )
    return _drifts.get_or_compute(
        (revision.digest, revision.number, view.loaded.sha256 if view.loaded else "", *known),
        lambda: drift_of(
            snapshot,
            view.rulesets,
            document,
            revision.number,
            loaded=loaded_renderings(view.loaded, revision.number, revision.digest),
            command=settings.ENVIRONMENT.command,
        ),
    )


def _describe_protected(view: SnapshotView, revision: Revision) -> KernelSentence:
    snapshot = view.snapshot
    names = " and ".join(FAMILY_NAMES[family] for family in snapshot.families)
    text = f"Protected: revision {revision.number} is active for {names}."
    others = (
        describe_tables(snapshot.foreign_tables),
        describe_redirecting_tables(snapshot.redirecting_tables),
    )
    return KernelSentence("ok", text, tuple(words for words in others if words), view.taken_at)


def _describe_drift(drift: Drift, revision: Revision) -> str:
    codes = {finding.code for finding in drift.findings}
    if codes == OF_DOCKER:
        return f"Revision {revision.number} is active, but Docker's own rules are missing. Restart Docker."
    if codes <= WAYS_IN:
        return f"Not protected: packets from outside can bypass revision {revision.number}'s container rules."
    if codes <= WITHOUT_EFFECT:
        return f"Not protected: other rules let packets bypass revision {revision.number}'s container rules."
    return f"Drift: the kernel does not hold revision {revision.number} as it was applied."
