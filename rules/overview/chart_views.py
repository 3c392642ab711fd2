"""The charts of a host: what was refused and let in, and how full it was, over an hour up to three years."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from rules.overview.chart_selectors import DAY, RANGES, TITLES, begins_in_last_hour, figures
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked


@require_safe
def charts(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show every figure over the range of the address, else over a day, or an hour if nothing is older."""
    host, now = host_or_404(host_name), timezone.now()
    asked = RANGES.get(text_asked(request, "range"))
    span = asked or DAY
    found = figures(host, TITLES, span, now)
    if asked is None and begins_in_last_hour(found, now):
        span = RANGES["1h"]
        found = figures(host, TITLES, span, now)
    context = {
        "figures": found,
        "ranges": RANGES.values(),
        "span": span,
        "is_empty": not any(each.known for each in found),
    }
    return render_page(request, "overview/charts.html", host, context, section="charts")
