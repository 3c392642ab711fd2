"""The audit log, filtered, paged and as CSV."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.views.decorators.http import require_safe

from dockerfw.document.document import validate_rule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.errors import DocumentError
from rules.audit.audit_selectors import (
    MOST_COUNTED,
    AuditFilters,
    AuditMatches,
    AuditPage,
    audit_actors,
    audit_count,
    audit_csv_rows,
    audit_events,
    audit_get,
    audit_matches,
    audit_page,
)
from rules.audit.audit_services import VERBS
from rules.models import AuditEvent
from rules.pages.frame import render_page
from rules.pages.requests import text_asked, whole_number
from rules.pages.wording import FieldPair, value_changes
from rules.templatetags.dockerfw import amount

# Characters of a value in the table of events, and on the page of one.
MOST_IN_TABLE = 4_000
MOST_SHOWN = 40_000


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event with its values as text; those of a `heavy` one are on the page of the event."""

    event: AuditEvent
    words: str
    subject: str
    changes: tuple[FieldPair, ...]
    before: str
    after: str
    heavy: bool

    @property
    def values_title(self) -> str:
        """Return the title above the values, empty without values."""
        if self.before and self.after:
            return "Before and after"
        return "Values before" if self.before else "Details" if self.after else ""


class _Echo:
    """A file that returns each line the CSV writer writes."""

    def write(self, value: str) -> str:
        """Return the line."""
        return value


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """List the events that match the filters, newest first."""
    filters, problems = filters_of(request)
    before, after = (whole_number(request.GET.get(name)) for name in ("before", "after"))
    actors = audit_actors()
    found = audit_matches(filters, actors)
    page = audit_page(found, before=before, after=after)
    query = _query(request)
    context = {
        "page": page,
        "position": _position(found, page),
        "newer_url": f"?{_query(request, after=page.newer)}" if page.newer else "",
        "older_url": f"?{_query(request, before=page.older)}" if page.older else "",
        "lines": [_line(event, event.pk in page.heavy) for event in page.events],
        "filters": filters,
        "problems": problems,
        "verbs": sorted(VERBS.items(), key=lambda verb: verb[1]),
        "actors": actors if filters.actor in ("", *actors) else (filters.actor, *actors),
        "csv_query": query,
        "empty_sentence": "" if page.events else _empty_sentence(filters),
        "filtered": filters != AuditFilters(),
    }
    return render_page(request, "audit/audit.html", None, context, section="audit")


@require_safe
def event(request: HttpRequest, key: int) -> HttpResponse:
    """Show one entry of the audit log with its values, which may be too long for the table."""
    found = audit_get(key)
    if found is None:
        raise Http404(f"no event {key}")
    context = {"lines": [_line(found, most=MOST_SHOWN)], "alone": True}
    return render_page(request, "audit/event.html", None, context, section="audit")


@require_safe
def audit_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Send the filtered events as CSV, without cells that a spreadsheet would run as formulas."""
    filters, _ = filters_of(request)
    writer = csv.writer(_Echo())
    lines: Iterator[str] = (writer.writerow(row) for row in audit_csv_rows(audit_events(filters)))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = f"dockerfw-audit-{timezone.localdate():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def filters_of(request: HttpRequest) -> tuple[AuditFilters, tuple[str, ...]]:
    """Read the filters from an address, with a sentence for each invalid day."""
    days: dict[str, datetime.date | None] = {}
    problems: list[str] = []
    for name in ("since", "until"):
        text = text_asked(request, name)
        days[name] = _day(text)
        if text and days[name] is None:
            problems.append(f'"{text[:40]}" is not a date. Write it as 2026-11-23.')
    verb = text_asked(request, "verb")
    filters = AuditFilters(
        actor=text_asked(request, "actor"),
        verb=verb if verb in VERBS else "",
        query=text_asked(request, "q"),
        since=days["since"],
        until=days["until"],
    )
    return filters, tuple(problems)


def _empty_sentence(filters: AuditFilters) -> str:
    """Return which events there are none of, and since when the log records them."""
    text = f"No{' matching' if filters.verb or filters.query else ''} events"
    if filters.actor:
        text += f" by {filters.actor}"
    oldest = audit_events().last()
    if filters.since:
        text += f" since {date_format(filters.since, 'j M Y')}"
    elif oldest:
        text += (
            f" since {date_format(timezone.localtime(oldest.at), 'j M Y, H:i')}, when the audit log begins"
        )
    if filters.until:
        text += f", until {date_format(filters.until, 'j M Y')}"
    return f"{text}."


def _day(text: str) -> datetime.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _query(request: HttpRequest, **cursor: int) -> str:
    """Return the filters of an address, and where a page begins."""
    asked = {name: value for name, value in request.GET.items() if value and name not in ("before", "after")}
    return urlencode({**asked, **cursor})


def _position(matches: AuditMatches, page: AuditPage) -> str:
    """Return which part of the log a page shows."""
    if not page.events:
        return ""
    if page.newer:
        first, last = (_minute(event.at) for event in (page.events[0], page.events[-1]))
        return first if first == last else f"{first} to {last}"
    shown, found = len(page.events), audit_count(matches)
    if found is None:
        return f"The newest {shown}" if page.older else f"{shown} event{'s' if shown > 1 else ''}"
    total = f"more than {amount(MOST_COUNTED)}" if found > MOST_COUNTED else amount(found)
    return f"1 to {shown} of {total}"


def _minute(moment: datetime.datetime) -> str:
    return date_format(timezone.localtime(moment), "j M Y, H:i")


def _line(event: AuditEvent, heavy: bool = False, most: int = MOST_IN_TABLE) -> EventLine:
    return EventLine(
        event=event,
        words=VERBS.get(event.verb, event.verb),
        subject=_subject(event),
        changes=value_changes(event.before, event.after),
        before=_pretty(event.before, most),
        after=_pretty(event.after, most),
        heavy=heavy,
    )


def _subject(event: AuditEvent) -> str:
    """Describe the rule of an event, empty for other events."""
    value = event.after or event.before
    if not isinstance(value, dict) or "scope" not in value:
        return ""
    try:
        return describe_rule(validate_rule(value))
    except DocumentError:
        return ""


def _pretty(value: Any, most: int) -> str:
    """Return at most this many characters of a value; writing down thousands of rules takes a while."""
    if value is None:
        return ""
    text = ""
    for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > most:
            return f"{text[: most - 1]}…"
    return text
