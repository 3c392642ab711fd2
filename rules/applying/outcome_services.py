"""Record the outcome of an apply, as the root worker reported it.

States only move forward, and each event is recorded once, by apply id and event number. An outcome changes
nothing but its own apply: it cannot make revisions or touch another host.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from dockerfw.document.document import digest
from dockerfw.messages.outcomes import REFUSED_EVENT, Failure, Outcome, Window
from rules.applying.expiry_services import was_given_up
from rules.audit.actors import SYSTEM
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import base_revision, draft_document, revision_document
from rules.draft.draft_services import draft_write, host_lock
from rules.models import Apply, Host

RANK = {"queued": 0, "loading": 1, "awaiting": 2, "confirmed": 3, "rolled_back": 3, "failed": 3}

SEEN = ("awaiting", "confirmed", "rolled_back", "failed")

logger = logging.getLogger(__name__)


def outcome_record(*, outcome: Outcome) -> bool:
    """Record one outcome; return True if it was new. An outcome of an unknown apply is logged and dropped."""
    with transaction.atomic():
        host = Host.objects.select_for_update().filter(name=outcome.host).first()
        apply = (
            Apply.objects.select_for_update(of=("self",))
            .select_related("revision")
            .filter(pk=outcome.apply, host=host)
            .first()
            if host is not None
            else None
        )
        if host is None or apply is None:
            logger.warning("outcome for unknown apply %s of host %s dropped", outcome.apply, outcome.host)
            return False
        if not _is_news(apply, outcome):
            return False
        _write(host, apply, outcome)
        return True


def _is_news(apply: Apply, outcome: Outcome) -> bool:
    # What the root worker saw in the kernel is true, also of an apply that was given up, or that counts as
    # refused only because another message named it.
    if was_given_up(apply) or (apply.state == Apply.State.FAILED and apply.last_event == REFUSED_EVENT):
        return outcome.state in SEEN and outcome.event > apply.last_event
    if outcome.event <= apply.last_event:
        return False
    return RANK[outcome.state] >= RANK[apply.state] and not apply.is_finished


def _write(host: Host, apply: Apply, outcome: Outcome) -> None:
    outcome = _check_loaded(apply, outcome)
    before = apply.state
    at = datetime.fromisoformat(outcome.at)
    apply.state = outcome.state
    apply.last_event = outcome.event
    apply.steps = [step.to_json() for step in outcome.steps]
    apply.error = outcome.error.to_json() if outcome.error else None
    apply.started_at = apply.started_at or at
    apply.way_back = outcome.way_back.to_json() if outcome.way_back else None
    if outcome.window is not None:
        _write_window(apply, outcome.window)
    apply.finished_at = at if apply.is_finished else None
    apply.save()
    if apply.state != before:
        told = outcome.way_back or outcome.error
        detail = told.summary if told else ""
        target = f"revision {apply.revision.number}"
        after = {"apply": str(apply.pk), "state": apply.state}
        for step in outcome.steps:
            if step.name == "sessions":
                after["sessions"] = step.detail
        audit_record(
            actor=SYSTEM,
            verb=f"apply-{apply.state}",
            host=host,
            target=target,
            before={"apply": str(apply.pk), "state": before},
            after=after,
            detail=detail,
        )
    if outcome.state == "confirmed":
        _confirm(host, apply)


def _write_window(apply: Apply, window: Window) -> None:
    apply.window_seconds = window.seconds
    apply.window_deadline = datetime.fromisoformat(window.deadline)
    # Every pending answer has been processed: the window was extended, or could not be.
    if apply.state == "awaiting":
        apply.window_seen_at = apply.window_seen_at or timezone.now()
        apply.answer = apply.answered_by = ""
        apply.answered_at = None


def _check_loaded(apply: Apply, outcome: Outcome) -> Outcome:
    """Turn the confirmation of another revision than the ordered one into a failure."""
    loaded, revision = outcome.loaded, apply.revision
    if outcome.state != "confirmed" or loaded is None:
        return outcome
    if (loaded.revision, loaded.digest) == (revision.number, revision.digest):
        return outcome
    summary = (
        f"The root worker reports that it loaded revision {loaded.revision} ({loaded.digest[:12]}), "
        f"but revision {revision.number} ({revision.digest[:12]}) was ordered."
    )
    return replace(outcome, state="failed", error=Failure(step="read-back", summary=summary))


def _confirm(host: Host, apply: Apply) -> None:
    current = host_lock(host)
    newest = Apply.objects.filter(host=current, state=Apply.State.CONFIRMED).order_by("-sequence").first()
    if newest is None or newest.pk != apply.pk:
        return
    base = base_revision(current)
    untouched = base is not None and base.digest == digest(draft_document(current))
    current.confirmed_revision = apply.revision
    current.save(update_fields=["confirmed_revision"])
    again = base is not None and base.pk == apply.revision.pk
    if apply.revision.restores is not None and untouched and not again:
        document = revision_document(apply.revision)
        detail = f"the draft follows the roll back to revision {apply.revision.restores}"
        draft_write(host=current, actor=SYSTEM, document=document, verb="draft-replace", detail=detail)
