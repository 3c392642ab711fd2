"""The page of refused packets: grouped, filtered, and refreshed while it is open; its part of the dashboard.

The live page's script polls. A poll that finds nothing new is answered with 204.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from rules.applying.history_selectors import newest_revisions
from rules.draft.basis_selectors import Basis, basis_of
from rules.models import Host
from rules.overview.chart_selectors import figures_of_day
from rules.overview.process_selectors import RESTART_ROOT
from rules.overview.refused_filters import GROUPS, PERIODS, REASONS, RefusedFilters, read_filters
from rules.overview.refused_selectors import (
    RefusedLine,
    checked_lines,
    refused_log,
    refused_mark,
    refused_totals,
)
from rules.overview.sample_names import REFUSED
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.seen.about_selectors import read_about

PAGE = 50
SUMMARY_LINES = 5
# The filters that a page shows as chips, each with the words on it.
CHIPS = {"source": "Source {}", "port": "Port {}", "container": "Container {}", "reason": "Why: {}"}
FIELDS = ("since", "source", "port", "container", "reason", "q", "group")


@dataclass(frozen=True, slots=True)
class LineLinks:
    """A line with the addresses of what can be done about it; empty ones are not offered."""

    line: RefusedLine
    allow: str
    block: str
    trace: str
    by_source: str
    by_port: str


@require_safe
def refused(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the refused packets that match the filters of the address."""
    host = host_or_404(host_name)
    (figure,) = figures_of_day(host, (REFUSED,), timezone.now())
    context = {**_context(request, host), "figure": figure}
    return render_page(request, "overview/refused.html", host, context, section="refused")


@require_safe
def refused_poll(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the lines when there is something new, else 204."""
    host = host_or_404(host_name)
    if request.GET.get("mark") == refused_mark(host):
        return HttpResponse(status=204)
    response = render(request, "overview/refused_lines.html", {**_context(request, host), "host": host})
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def refused_summary(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the sources and ports that were refused most within the last hour, for the dashboard."""
    host = host_or_404(host_name)
    basis = basis_of(host)
    view = basis.view
    context = {
        "host": host,
        "groups": {group.name for group in basis.draft.groups},
        "sources": _top(refused_log(host, view, RefusedFilters(group="source")).lines),
        "ports": _top(refused_log(host, view, RefusedFilters(group="port")).lines),
        "totals": refused_totals(host, RefusedFilters()),
    }
    response = render(request, "overview/refused_summary.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _context(request: HttpRequest, host: Host) -> dict[str, object]:
    asked = {name: text for name in FIELDS if (text := text_asked(request, name))}
    filters, problems = read_filters(asked)
    basis = basis_of(host)
    log = refused_log(host, basis.view, filters)
    page = Paginator(log.lines, PAGE).get_page(whole_number(request.GET.get("page"), 1))
    number = page.number if page.number > 1 else None
    narrowed = asked.keys() - {"since", "group"}
    return {
        "asked": asked,
        "filters": filters,
        "problems": problems,
        "page": page,
        "lines": [_links(host, asked, line) for line in checked_lines(host, basis.view, page.object_list)],
        "log": log,
        "totals": refused_totals(host, filters),
        "notices": _notices(basis, log.problem),
        "newest": max((revision.number for revision in newest_revisions(host, 1)), default=0),
        "groups": {group.name for group in basis.draft.groups},
        "periods": [(name, words) for name, (words, _) in PERIODS.items()],
        "period_words": PERIODS[filters.since][0].lower(),
        "reasons": REASONS.items(),
        "narrowed": narrowed,
        "more_wrong": problems.keys() & CHIPS.keys(),
        "chips": [
            (CHIPS[name].format(_chip_words(name, asked[name])), urlencode(_without(asked, name)))
            for name in CHIPS
            if name in asked
        ],
        "now": timezone.now(),
        "group_links": [
            (words, urlencode({**asked, "group": name}), name == filters.group)
            for name, words in GROUPS.items()
        ],
        "poll": urlencode({**asked, **({"page": number} if number else {}), "mark": log.mark}),
    }


def _chip_words(name: str, text: str) -> str:
    return REASONS.get(text, text) if name == "reason" else text


def _without(asked: dict[str, str], name: str) -> dict[str, str]:
    return {key: text for key, text in asked.items() if key != name}


def _notices(basis: Basis, problem: str) -> list[str]:
    """Return why packets may be missing, other than by the filters."""
    found = []
    if problem:
        found.append(f"{problem.rstrip('.')}. The page shows what is stored.")
    about = read_about(basis.host.name)
    if about is not None and about.log_problem:
        found.append(f"{about.log_problem[0].upper()}{about.log_problem[1:].rstrip('.')}.")
    elif about is not None and about.log_group is None:
        found.append(f"The root worker {about.version} does not log refused packets. {RESTART_ROOT}")
    if basis.base_document is not None and not basis.base_document.settings.log_refused:
        found.append(f"Refused packets are only counted: the log is off in revision {basis.head}.")
    return found


def _top(lines: tuple[RefusedLine, ...]) -> list[RefusedLine]:
    return sorted(lines, key=lambda line: line.packets.count, reverse=True)[:SUMMARY_LINES]


def _links(host: Host, asked: dict[str, str], line: RefusedLine) -> LineLinks:
    kind = line.kind
    one_source, one_port = line.sources == 1, line.ports == 1 and line.places == 1
    packet = {
        "destination": kind.destination,
        "protocol": kind.protocol,
        "port": "" if kind.port is None else str(kind.port),
        "interface": kind.interface,
    }
    if "/" not in kind.source:
        packet = {"source": kind.source, **packet}
    page = reverse("rules:refused", args=[host.name])
    return LineLinks(
        line,
        allow=_form(host, _allowance(line)) if one_port else "",
        block=_form(host, {"action": "block", "source": kind.source, "scope": "both", "protocol": "any"})
        if one_source
        else "",
        trace=f"{reverse('rules:trace', args=[host.name])}?{_query(packet)}"
        if one_source and one_port
        else "",
        by_source=f"{page}?{_query({**asked, 'source': kind.source, 'group': 'pair'})}" if one_source else "",
        by_port=f"{page}?{_query({**asked, 'port': str(kind.port), 'group': 'pair'})}"
        if one_port and kind.port is not None
        else "",
    )


def _allowance(line: RefusedLine) -> dict[str, str]:
    """Return the fields of a rule that would allow the packets of a line."""
    kind = line.kind
    values = {
        "source": kind.source if line.sources == 1 else "",
        "protocol": kind.protocol,
        "ports": "" if kind.port is None else str(kind.port),
    }
    if kind.way == "host":
        return {**values, "scope": "host"}
    if kind.container or not kind.containers_known:
        return {**values, "scope": "container", "container": kind.container}
    # It leads to what is no container, such as a VM.
    return {**values, "scope": "forwarded", "to": kind.inner or kind.destination}


def _form(host: Host, values: dict[str, str]) -> str:
    return f"{reverse('rules:rule-new', args=[host.name])}?{_query(values)}"


def _query(values: dict[str, str]) -> str:
    return urlencode({name: value for name, value in values.items() if value})
