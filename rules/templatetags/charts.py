"""Template tags that draw figures over time as SVG, with the same in words and in a table."""

from __future__ import annotations

import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from rules.overview.chart_figures import Figure
from rules.overview.chart_geometry import Bin, draw
from rules.templatetags.dockerfw import amount, duration

register = template.Library()

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


@register.inclusion_tag("overview/chart_sparkline.html")
def sparkline(figure: Figure) -> dict[str, object]:
    """Draw a figure as a small line without axes; its words are for assistive technology."""
    return {"figure": figure, "drawing": draw(figure.bins, 200, 44, margin=4), "words": describe(figure)}


@register.inclusion_tag("overview/chart.html")
def chart(figure: Figure) -> dict[str, object]:
    """Draw a figure with axes, and a folded table of its values."""
    drawing = draw(figure.bins, 600, 160)
    marks = (drawing.top, drawing.middle, 0.0) if drawing.top > 1 else (drawing.top, 0.0)
    return {"figure": figure, "drawing": drawing, "words": describe(figure), "marks": marks}


@register.filter
def figure_number(value: float | None) -> str:
    """Print a value of a chart in at most five digits: `0.4`, `1 204`, `26.3k`; nothing if it is unknown."""
    if value is None:
        return ""
    for size, letter in _LARGE:
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.3g}{letter}" if scaled < 1000 else f"{value:.1e}"
    return f"{value:.1f}" if value < 10 and value != int(value) else amount(round(value))


@register.filter
def tick(moment: datetime.datetime, length: datetime.timedelta) -> SafeString:
    """Print a moment on an axis of `length`: the time, the day or the month."""
    local = timezone.localtime(moment)
    days = length / datetime.timedelta(days=1)
    words = f"{local:%H:%M}" if days <= 2 else f"{local.day} {local:%b}" if days <= 100 else f"{local:%b %Y}"
    # Days begin in the zone of the server, so only the time of day is shown in the browser's.
    form = format_html(' data-form="{}"', "minute") if days <= 2 else ""
    return format_html('<time datetime="{}"{}>{}</time>', moment.isoformat(), form, words)


@register.filter
def peak(figure: Figure) -> str:
    """Return the highest value of a figure and its time, "" where it never changed or is unknown."""
    highest, lowest = figure.highest, figure.lowest
    if highest is None:
        return ""
    if lowest is None or highest.value == lowest.value:
        return ""
    return f"highest {figure_number(highest.value)} {_at(highest, figure)}"


def describe(figure: Figure) -> str:
    """Return a figure in one or two sentences."""
    lowest, highest = figure.lowest, figure.highest
    if lowest is None or highest is None:
        return "Unknown: there is no sample of this time yet."
    said = f"Between {figure_number(lowest.value)} and {figure_number(highest.value)}"
    if lowest.value == highest.value:
        text = f"Always {figure_number(highest.value)}."
    else:
        text = f"{said}, highest {_at(highest, figure)}."
    unknown = figure.unknown_seconds
    return f"{text} Unknown for {duration(unknown)}." if unknown else text


def _at(one: Bin, figure: Figure) -> str:
    local = timezone.localtime(one.start)
    zone = local.tzname() or "UTC"
    if figure.length <= datetime.timedelta(days=2):
        return f"at {local:%H:%M} {zone}"
    return f"on {local.day} {local:%b %Y}"
