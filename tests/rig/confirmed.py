"""Bring a host to where a draft has been applied and confirmed."""

from __future__ import annotations

from dockerfw.document.document import canonical_json, digest
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.models import Apply, Host, Revision
from tests.rig.kernel_reports import outcome_of


def confirm(host: Host, actor: Actor, message: str = "first") -> Revision:
    """Write the draft down as a revision whose apply the root worker confirmed; refreshes `host`."""
    host.refresh_from_db()
    document = draft_document(host)
    newest = Revision.objects.filter(host=host).order_by("-number").first()
    revision = Revision.objects.create(
        host=host,
        number=newest.number + 1 if newest else 1,
        document=canonical_json(document),
        digest=digest(document),
        author_name=actor.name,
        parent=host.confirmed_revision,
        message=message,
    )
    host.sequence += 1
    host.save(update_fields=["sequence"])
    apply = Apply.objects.create(
        host=host,
        revision=revision,
        requested_by=actor.name,
        message=message,
        sequence=host.sequence,
        job_id="job",
    )
    outcome_record(outcome=outcome_of(apply, "confirmed", 0))
    host.refresh_from_db()
    return revision
