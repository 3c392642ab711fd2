"""Read the audit log: filtered events for the page, rows for the CSV."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

from django.db.models import Q, QuerySet
from django.utils import timezone

from rules.models import AuditEvent

EARLIEST, LATEST = date(1970, 1, 2), date(9998, 12, 30)
CSV_HEADER = ("at", "who", "address", "host", "verb", "target", "before", "after", "detail")


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Filters of the audit log; empty ones match everything. `since` and `until` are days, both included."""

    actor: str = ""
    verb: str = ""
    address: str = ""
    host: str = ""
    query: str = ""
    since: date | None = None
    until: date | None = None


def addresses_since(moment: datetime) -> set[IPv4Address | IPv6Address]:
    """Return the addresses from which something was done since a moment, failed sign-ins left out."""
    events = AuditEvent.objects.filter(at__gte=moment).exclude(address="").exclude(verb="sign-in-failed")
    found = set()
    for text in events.order_by().values_list("address", flat=True).distinct():
        with contextlib.suppress(ValueError):
            found.add(ip_address(text))
    return found


def audit_events(filters: AuditFilters | None = None) -> QuerySet[AuditEvent]:
    """Return the events that match, newest first."""
    wanted = filters or AuditFilters()
    events = cast("QuerySet[AuditEvent]", AuditEvent.objects.select_related("host"))
    if wanted.actor:
        events = events.filter(actor_name__iexact=wanted.actor)
    if wanted.verb:
        events = events.filter(verb=wanted.verb)
    if wanted.address:
        events = events.filter(address=wanted.address)
    if wanted.host:
        events = events.filter(host__name=wanted.host)
    if wanted.since:
        events = events.filter(at__gte=_start(wanted.since))
    if wanted.until:
        events = events.filter(at__lt=_start(min(wanted.until, LATEST) + timedelta(days=1)))
    for word in wanted.query.split():
        events = events.filter(
            Q(target__icontains=word)
            | Q(detail__icontains=word)
            | Q(actor_name__icontains=word)
            | Q(address__icontains=word)
        )
    return events


def audit_actors() -> tuple[str, ...]:
    """Return every account name in the audit log, sorted."""
    names = AuditEvent.objects.exclude(actor_name="").order_by("actor_name")
    return tuple(names.values_list("actor_name", flat=True).distinct())


def audit_csv_rows(events: QuerySet[AuditEvent]) -> Iterator[tuple[str, ...]]:
    """Yield the header and a row for each event.

    Cells that a spreadsheet would run as formulas are quoted.
    """
    yield CSV_HEADER
    for event in events.iterator(chunk_size=500):
        cells = (
            event.at.isoformat(timespec="seconds"),
            event.actor_name,
            event.address,
            event.host.name if event.host else "",
            event.verb,
            event.target,
            _json(event.before),
            _json(event.after),
            event.detail,
        )
        yield tuple(_inert(cell) for cell in cells)


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _start(day: date) -> datetime:
    # Beyond, the time in UTC or the day after has no date.
    day = min(max(day, EARLIEST), LATEST)
    return timezone.make_aware(datetime.combine(day, time.min))
