"""Audit what a root worker reports of an apply that this dashboard has no record of."""

from __future__ import annotations

import logging

from dockerfw.messages.outcomes import Outcome
from rules.applying.unknown_apply_selectors import ENDS, HELD, VERB
from rules.audit.actors import SYSTEM
from rules.audit.audit_services import audit_record
from rules.models import AuditEvent, Host

# Refused orders beyond are only logged: whoever can send them must not fill the database.
MOST_ENDS = 500
DETAIL = (
    "This dashboard has no record of the order. Another program wrote to Redis, or the database was restored"
    " from a backup."
)

logger = logging.getLogger(__name__)


def unknown_apply_record(*, host: Host | None, outcome: Outcome) -> None:
    """Append one event for each state of an unknown apply."""
    logger.warning(
        "host %s reports an apply without a record: %s, %s", outcome.host, outcome.apply, outcome.state
    )
    events = AuditEvent.objects.filter(host=host, verb=VERB)
    told = events.filter(after__apply=outcome.apply)
    if outcome.state not in (*HELD, *ENDS) or told.filter(after__state=outcome.state).exists():
        return
    if outcome.state in ENDS and not told.exists() and events.count() >= MOST_ENDS:
        return
    loaded = outcome.loaded
    target = f"revision {loaded.revision} ({loaded.digest[:12]})" if loaded else ""
    audit_record(
        actor=SYSTEM,
        verb=VERB,
        host=host,
        target=target,
        after={
            "apply": outcome.apply,
            "state": outcome.state,
            "revision": loaded.revision if loaded else None,
            "digest": loaded.digest if loaded else None,
            "host": outcome.host,
        },
        detail=f"{outcome.error.summary} {DETAIL}" if outcome.error else DETAIL,
    )
