"""Find what a host loaded although this dashboard has no record of such an apply.

The clerk writes an audit event for each outcome of an unknown apply: the order was forged, or the database
was restored from a backup. The finding ends with the next apply that is confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from rules.models import AuditEvent, Host

VERB = "apply-unknown"
HELD = ("awaiting", "confirmed")
ENDS = ("rolled_back", "failed")


@dataclass(frozen=True, slots=True)
class UnknownApply:
    """The newest apply without a record that the host loaded: what it loaded, and whether it was kept."""

    target: str
    kept: bool


def held_unknown() -> QuerySet[AuditEvent]:
    """Return the events of all hosts that tell of an apply without a record, and that it was loaded."""
    return AuditEvent.objects.filter(verb=VERB, after__state__in=HELD)


def unknown_apply(host: Host) -> UnknownApply | None:
    """Return the apply without a record that the host holds, None if there is none."""
    loaded = held_unknown().filter(host=host)
    # Nearly every host has none: then this is the only query. A host of a list of hosts knows it already.
    known = getattr(host, "may_hold_unknown", None)
    if known is False or (known is None and not loaded.exists()):
        return None
    newest = loaded.filter(after__state="confirmed").first() or loaded.first()
    if newest is None or not isinstance(newest.after, dict):
        return None
    later = AuditEvent.objects.filter(host=host, pk__gt=newest.pk)
    if later.filter(verb="apply-confirmed").exists():
        return None
    ended = later.filter(verb=VERB, after__apply=newest.after["apply"], after__state__in=ENDS).exists()
    return None if ended else UnknownApply(newest.target, newest.after["state"] == "confirmed")
