"""Template tags for times, amounts, icons, and the parts that every table has. They read no database."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.core.paginator import Page
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_TIME = re.compile(
    r"\b(?:(?P<day>\d{4}-[01]\d-[0-3]\d) )?(?P<clock>[0-2]\d:[0-5]\d(?::[0-5]\d)?) (?P<zone>[A-Z]{3,5})\b",
    re.ASCII,
)

# Drawn on a grid of 24 by 24 with a stroke of 2; the stylesheet gives size and colour.
_ICONS = {
    "shield": '<path d="M12 3l7 2.8v5.4c0 4.6-2.9 8-7 9.8-4.1-1.8-7-5.2-7-9.8V5.8z"/>',
    "ok": '<path d="M12 3l7 2.8v5.4c0 4.6-2.9 8-7 9.8-4.1-1.8-7-5.2-7-9.8V5.8z"/>'
    '<path d="M8.8 11.8l2.3 2.4 4.2-4.6"/>',
    "warn": '<path d="M12 4L2.8 19.5h18.4z"/><path d="M12 10v4.5M12 17v.1"/>',
    "bad": '<path d="M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3z"/><path d="M9 9l6 6M15 9l-6 6"/>',
    "unknown": '<circle cx="12" cy="12" r="9"/>'
    '<path d="M9.6 9.4a2.5 2.5 0 1 1 3.4 2.6c-.7.4-1 .9-1 1.7M12 16.6v.1"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.6v.1"/>',
    "check": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "cross": '<path d="M6 6l12 12M18 6L6 18"/>',
    "wait": '<circle cx="12" cy="12" r="8" stroke-dasharray="2 4"/>',
    "running": '<path d="M12 4a8 8 0 1 1-8 8"/>',
    "pencil": '<path d="M4 20l1-4L16.5 4.5l3 3L8 19z"/>',
    "person": '<circle cx="12" cy="8" r="3.5"/><path d="M5 20c.6-3.8 3.3-5.5 7-5.5s6.4 1.7 7 5.5"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "world": '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"/>',
    "some": '<circle cx="12" cy="12" r="9"/><circle cx="12" cy="12" r="3.5"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="M16 16l4.5 4.5"/>',
    "theme": '<circle cx="12" cy="12" r="8.5"/><path d="M12 3.5a8.5 8.5 0 0 1 0 17z" fill="currentcolor"/>',
    "down": '<path d="M6 9.5l6 6 6-6"/>',
    "copy": '<path d="M9 9h11v11H9z"/><path d="M5 15H4V4h11v1"/>',
    "trash": '<path d="M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3"/>',
    "undo": '<path d="M8 5L4 9l4 4M4 9h9.5a5.5 5.5 0 0 1 0 11H9"/>',
}


@dataclass(frozen=True, slots=True)
class Column:
    """The head of one column; a hidden one is for screen readers only."""

    label: str
    is_number: bool
    is_hidden: bool


_IPV6_COLON = re.compile(r"(?<=[0-9a-f:]):(?=[0-9a-f]{1,4}(?::|$|/|\b))", re.IGNORECASE)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """Draw a decorative icon; the words beside it carry the meaning."""
    drawing = mark_safe(_ICONS[name])  # noqa: S308  # a constant of this module
    return format_html(
        '<svg class="icon {}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>',
        extra,
        drawing,
    )


@register.inclusion_tag("pages/font.html")
def font() -> dict[str, object]:
    """Link the font of the pages where scripts/setup could make it."""
    return {"made": bool(settings.STATICFILES_DIRS)}


@register.simple_tag
def symbols(*names: str) -> SafeString:
    """Define icons once, for a page that uses them in many rows: `<svg><use href="#i-copy"/></svg>`."""
    return format_html_join(
        "",
        '<symbol id="i-{}" viewBox="0 0 24 24">{}</symbol>',
        ((name, mark_safe(_ICONS[name])) for name in names),  # noqa: S308  # constants of this module
    )


@register.filter
def day(moment: datetime.datetime | str | None) -> SafeString | str:
    """Show the day of a moment: `1 Oct`, with the year where it is another one."""
    value = _moment(moment)
    if value is None:
        return ""
    local = timezone.localtime(value)
    year = "" if local.year == timezone.localtime(timezone.now()).year else f" {local.year}"
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), f"{local.day} {local:%b}{year}")


@register.filter
def when(moment: datetime.datetime | str | None) -> SafeString | str:
    """Show a moment in the configured zone, with its name. times.js changes it to the zone of the browser."""
    value = _moment(moment)
    if value is None:
        return ""
    local = timezone.localtime(value)
    now = timezone.localtime(timezone.now())
    day = f"{local.day} {local:%b}" if local.year == now.year else f"{local.day} {local:%b %Y}"
    text = f"{local:%H:%M}" if local.date() == now.date() else f"{day}, {local:%H:%M}"
    prefix = "today " if local.date() == now.date() else ""
    zone = local.tzname() or "UTC"
    return format_html(
        '<time datetime="{}" title="{}" data-form="when">{}{} {}</time>',
        value.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S} {zone}",
        prefix,
        text,
        zone,
    )


@register.filter
def when_exactly(moment: datetime.datetime | str | None) -> SafeString | str:
    """Show a moment to the second, for records that admins compare."""
    value = _moment(moment)
    if value is None:
        return ""
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" data-form="exact">{} {}</time>',
        value.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        local.tzname() or "UTC",
    )


@register.filter
def clock(moment: datetime.datetime | None) -> SafeString | str:
    """Show the time of a moment to the second, where its day is clear."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    zone = local.tzname() or "UTC"
    return format_html(
        '<time datetime="{}" data-form="clock">{} {}</time>', moment.isoformat(), f"{local:%H:%M:%S}", zone
    )


@register.filter
def with_times(text: object) -> SafeString:
    """Show the times of a sentence, such as `14:05:22 UTC`, like other times. HTML stays as it is."""
    if isinstance(text, SafeString):
        return text
    words = escape(text)
    return mark_safe(_TIME.sub(lambda found: _time_in(found, timezone.now()), words))  # noqa: S308 - it is escaped


def _time_in(found: re.Match[str], now: datetime.datetime) -> str:
    """Return a time of a sentence as an element; without a day it is the moment nearest to `now`."""
    zone = datetime.UTC if found["zone"] == "UTC" else timezone.get_current_timezone()
    today = now.astimezone(zone)
    clock = datetime.time.fromisoformat(found["clock"])
    day = datetime.date.fromisoformat(found["day"]) if found["day"] else today.date()
    moment = datetime.datetime.combine(day, clock, zone)
    if not found["day"]:
        moments = (moment + datetime.timedelta(days=days) for days in (-1, 0, 1))
        moment = min(moments, key=lambda each: abs(each - now))
    if moment.tzname() != found["zone"]:
        return found[0]
    form = "when" if found["day"] else "clock" if len(found["clock"]) > len("12:00") else "minute"
    return format_html('<time datetime="{}" data-form="{}">{}</time>', moment.isoformat(), form, found[0])


@register.filter
def ago(moment: datetime.datetime | str | None) -> str:
    """Return how long ago a moment was, in the one unit that fits."""
    value = _moment(moment)
    if value is None:
        return ""
    return duration(int((timezone.now() - value).total_seconds())) + " ago"


@register.simple_tag
def age(moment: datetime.datetime | str | None) -> SafeString | str:
    """Show how long ago a moment was, and on hover the moment. A page that polls keeps it up to date."""
    value = _moment(moment)
    if value is None:
        return ""
    exact = f"{value.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<span data-at="{}" title="{}">{}</span>', value.isoformat(), exact, ago(value))


@register.filter
def breakable(text: object) -> SafeString:
    """Let a browser break a text after the colons of IPv6 addresses, which are wider than a phone."""
    return mark_safe(_IPV6_COLON.sub(":<wbr>", escape(text)))  # noqa: S308 - it is escaped just before


@register.filter
def duration(seconds: float | None) -> str:
    """Return a number of seconds in the one unit that fits: "0.12 s", "45 s", "3 min", "2 h", "5 days"."""
    if seconds is None:
        return ""
    seconds = max(0.0, float(seconds))
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.2f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} days"


@register.filter
def amount(number: int | None) -> str:
    """Print a count, thousands separated by a thin space, which reads the same in every language."""
    return "" if number is None else f"{number:,}".replace(",", "\u202f")


@register.filter
def size(number: int | None) -> str:
    """Print a number of bytes in decimal units with three digits: "1.25 MB"."""
    if number is None:
        return ""
    value = float(number)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    digits = f"{value:.0f}" if unit == "B" or value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}"


@register.simple_tag(takes_context=True)
def nav_link(context: Context, words: str, name: str, sections: str = "") -> SafeString:
    """Draw a link of the sidebar to the page `name`; it is the current one in these sections."""
    url = reverse(f"rules:{name}", args=[] if name == "audit" else [context["host"].name])
    current = context.get("section") in (sections or name).split()
    mark = format_html(' aria-current="{}"', "page") if current else ""
    return format_html('<li><a href="{}"{}>{}</a></li>', url, mark, words)


@register.inclusion_tag("pages/columns.html")
def columns(*labels: str) -> dict[str, object]:
    """Draw the heads of a table: `#Hits` for numbers, `[Actions]` for screen readers only."""
    return {
        "columns": [
            Column(label.strip("#[]"), is_number=label.startswith("#"), is_hidden=label.startswith("["))
            for label in labels
        ]
    }


@register.inclusion_tag("pages/pager.html", takes_context=True)
def pager(
    context: Context, page: Page[Any], label: str, *, previous: str = "Previous", next: str = "Next"
) -> dict[str, object]:
    """Draw the links to the pages around this one; the other values of the address stay."""

    def url(number: int) -> str:
        query = context["request"].GET.copy()
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    return {
        "label": label,
        "text": f"{page.start_index()} to {page.end_index()} of {page.paginator.count}",
        "previous": previous,
        "previous_url": url(page.previous_page_number()) if page.has_previous() else "",
        "next": next,
        "next_url": url(page.next_page_number()) if page.has_next() else "",
    }


@register.simple_tag
def querystring_of(values: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """Return the part of an address that carries these values: `?ports=80&protocol=tcp`."""
    return f"?{urlencode(values)}" if values else ""


@register.filter
def list_note_tone(tone: str) -> str:
    """Return the colour of a note about a list: amber for what needs attention, else the usual one."""
    return "warn" if tone in ("warn", "bad") else ""


@register.filter
def list_note_icon(tone: str) -> str:
    """Return the icon of such a note."""
    return "warn" if tone in ("warn", "bad") else "check" if tone == "ok" else "info"


@register.filter
def lookup(mapping: Mapping[str, Any] | None, key: str) -> Any:
    """Return the value of a key, None when the mapping has none."""
    return (mapping or {}).get(key)


def _moment(value: datetime.datetime | str | None) -> datetime.datetime | None:
    """Return a datetime, or the ISO text of a snapshot as one; None for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if value is not None and value.tzinfo is None:
        return value.replace(tzinfo=datetime.UTC)
    return value
