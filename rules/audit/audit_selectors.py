"""Read the audit log: filtered events for the page, rows for the CSV."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

from django.db import connection
from django.db.models import F, Max, Min, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce, Length
from django.utils import timezone

from rules.models import AuditEvent

PAGE = 50
# Counting stops here: a log of years has millions of events.
MOST_COUNTED = 10_000
# No index finds words, so a page searches this many entries at most.
MOST_SEARCHED = 20_000
MOST_ACTORS = 200
# Longer values, such as whole documents, are on the page of their entry only.
MOST_VALUES = 16_000
EARLIEST, LATEST = date(1970, 1, 2), date(9998, 12, 30)
# Reads the next name from the index of names, again and again: `DISTINCT` would read every entry of it.
_NAMES = """
WITH RECURSIVE names (name) AS (
    SELECT MIN(actor_name) FROM rules_auditevent WHERE actor_name > ''
    UNION ALL
    SELECT (SELECT MIN(actor_name) FROM rules_auditevent WHERE actor_name > names.name)
    FROM names WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL LIMIT %s
"""
_VALUES = ("pk", "before", "after")
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


@dataclass(frozen=True, slots=True)
class AuditMatches:
    """The events that match filters, newest first, and the ids of the first and the last that may be one."""

    filters: AuditFilters
    events: QuerySet[AuditEvent]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of events, the newest first.

    `newer` and `older` are the ids of the entries that the pages around it begin after and before, 0 for
    none. `searched_to` is set where a search for words ended before the page was full or the log was. The
    events with the ids in `heavy` have values that are too long for a table, and were not read.
    """

    events: tuple[AuditEvent, ...]
    newer: int = 0
    older: int = 0
    searched_to: datetime | None = None
    heavy: frozenset[int] = frozenset()


def addresses_since(moment: datetime) -> set[IPv4Address | IPv6Address]:
    """Return the addresses from which something was done since a moment, failed sign-ins left out."""
    events = AuditEvent.objects.filter(at__gte=moment).exclude(address="").exclude(verb="sign-in-failed")
    found = set()
    for text in events.order_by().values_list("address", flat=True).distinct():
        with contextlib.suppress(ValueError):
            found.add(ip_address(text))
    return found


def audit_events(
    filters: AuditFilters | None = None, actors: Sequence[str] | None = None
) -> QuerySet[AuditEvent]:
    """Return the events that match, newest first; `actors` are the names that the log is known to have."""
    wanted = filters or AuditFilters()
    events = cast("QuerySet[AuditEvent]", AuditEvent.objects.select_related("host"))
    if wanted.actor:
        events = _of_actor(events, wanted.actor, audit_actors() if actors is None else actors)
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


def audit_matches(filters: AuditFilters, actors: Sequence[str] | None = None) -> AuditMatches:
    """Return what filters match, for a page and for the count of all; `actors` as for `audit_events`."""
    return AuditMatches(filters, audit_events(filters, actors), *_ids_between(filters))


def audit_page(found: AuditMatches, *, before: int = 0, after: int = 0) -> AuditPage:
    """Return the page of matching events before or after an entry, without either the newest ones.

    Pages are found by the ids of entries, so that the last one of a million costs what the first one costs.
    """
    page = _find_page(found, before=before, after=after)
    return replace(page, heavy=_read_values(page.events))


def audit_get(key: int) -> AuditEvent | None:
    """Return an entry with all its values, None when there is none."""
    return AuditEvent.objects.select_related("host").filter(pk=key).first()


def _find_page(found: AuditMatches, *, before: int, after: int) -> AuditPage:
    """Return a page whose events have no values yet."""
    filters, low, high = found.filters, found.low, found.high
    events = found.events.defer("before", "after")
    # (SQLite looks for one bound of an id, and reads all that a second one would leave out.)
    if after:
        end = min(high, after + MOST_SEARCHED) if filters.query else high
        newer = list(events.filter(pk__gte=max(low, after + 1), pk__lte=end).order_by("pk")[: PAGE + 1])
        if len(newer) > PAGE:
            rows = newer[PAGE - 1 :: -1]
            return AuditPage(tuple(rows), newer=rows[0].pk, older=rows[-1].pk)
        if end < high:
            rows = newer[::-1]
            return AuditPage(tuple(rows), newer=end, older=rows[-1].pk if rows else after + 1)
        # Nothing is newer than what fits on the first page.
        before = 0
    top = min(high, before - 1) if before else high
    bottom = max(low, top - MOST_SEARCHED + 1) if filters.query else low
    rows = list(events.filter(pk__lte=top, pk__gte=bottom)[: PAGE + 1])
    shown = tuple(rows[:PAGE])
    newer_than = (shown[0].pk if shown else top) if before else 0
    if len(rows) > PAGE:
        return AuditPage(shown, newer=newer_than, older=shown[-1].pk)
    if bottom > low:
        last = AuditEvent.objects.filter(pk__gte=bottom).order_by("pk").first()
        return AuditPage(shown, newer=newer_than, older=bottom, searched_to=last.at if last else None)
    return AuditPage(shown, newer=newer_than)


def _read_values(events: tuple[AuditEvent, ...]) -> frozenset[int]:
    """Read the values of these events, and return the ids of those whose values are too long."""
    length = sum((Coalesce(Length(Cast(name, TextField())), 0) for name in ("before", "after")), Value(0))
    rows = AuditEvent.objects.filter(pk__in=[event.pk for event in events]).alias(length=length)
    known = {pk: values for pk, *values in rows.filter(length__lte=MOST_VALUES).values_list(*_VALUES)}
    for event in events:
        event.before, event.after = known.get(event.pk, (None, None))
    return frozenset(event.pk for event in events if event.pk not in known)


def audit_count(found: AuditMatches) -> int | None:
    """Return how many events match, MOST_COUNTED + 1 for more, None where only reading all could tell."""
    if found.filters.query or (found.filters.actor and found.filters.verb):
        return None
    events = found.events.filter(pk__gte=found.low, pk__lte=found.high)
    return events.order_by()[: MOST_COUNTED + 1].count()


def audit_actors() -> tuple[str, ...]:
    """Return the first account names in the audit log, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, [MOST_ACTORS])
        return tuple(name for (name,) in cursor.fetchall())


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


def _of_actor(events: QuerySet[AuditEvent], actor: str, known: Sequence[str]) -> QuerySet[AuditEvent]:
    """Return the events of an account; the case of its name does not matter for the names of the page."""
    names = [name for name in known if name.casefold() == actor.casefold()]
    # (A comparison without regard to case would not use the index.)
    if len(names) == 1:
        return events.filter(actor_name=names[0])
    if not names and len(known) < MOST_ACTORS:
        return events.none()
    return events.filter(actor_name__iexact=actor)


def _ids_between(filters: AuditFilters) -> tuple[int, int]:
    """Return the ids of the first and the last entry of the days asked for."""
    entries = cast("QuerySet[AuditEvent]", AuditEvent.objects.order_by())
    last = high = entries.aggregate(last=Max("pk"))["last"] or 0
    # Only a search goes from the last entry to the first one step by step.
    low = (entries.aggregate(first=Min("pk"))["first"] or 1) if filters.query else 1
    if filters.since:
        first = _end_of(entries.filter(at__gte=_start(filters.since)), "at", last // 2)
        low = last + 1 if first is None else first
    if filters.until:
        until = _start(min(filters.until, LATEST) + timedelta(days=1))
        high = _end_of(entries.filter(at__lt=until), "-at", last // 2) or 0
    return low, high


def _end_of(events: QuerySet[AuditEvent], order: str, middle: int) -> int | None:
    """Return the first id of the events since a moment (order "at") or the last of those before it ("-at").

    The clock may have been set back, so an entry of an earlier time may have a later id.
    """
    near = events.order_by(order).values_list("pk", flat=True).first()
    if near is None:
        return None
    # Asked for an id, SQLite reads the log from its end up to the moment; for an expression, the times from
    # the moment on, which are fewer if the moment lies in the other half.
    first = order == "at"
    is_far = (near > middle) == first
    id_of = F("pk") + 0 if is_far else F("pk")
    return cast("int", events.aggregate(found=Min(id_of) if first else Max(id_of))["found"])


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _start(day: date) -> datetime:
    # Beyond, the time in UTC or the day after has no date.
    day = min(max(day, EARLIEST), LATEST)
    return timezone.make_aware(datetime.combine(day, time.min))
