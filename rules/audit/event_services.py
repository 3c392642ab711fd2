"""Record commands on a host's console and events of its root worker."""

from __future__ import annotations

from django.db import transaction

from dockerfw.messages.events import CONSOLE_VERBS, ConsoleEvent
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.models import AuditEvent, Host


def console_record(*, event: ConsoleEvent) -> bool:
    """Append one event to the audit log, once. Return True if it was new."""
    with transaction.atomic():
        host = Host.objects.select_for_update().filter(name=event.host).first()
        verb = f"console-{event.verb}" if event.verb in CONSOLE_VERBS else event.verb
        if AuditEvent.objects.filter(verb=verb, after__event=event.id).exists():
            return False
        audit_record(
            actor=Actor(name=event.actor),
            verb=verb,
            host=host,
            target=event.host,
            after={"event": event.id, "at": event.at},
            detail=event.detail,
        )
        return True
