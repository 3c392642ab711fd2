"""The exposure page: what listens, what is published, and the clients that can reach it.

*Restrict* and *Allow* lead to the rule form.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe

from dockerfw.chains.kernel_state import read_kernel_state
from dockerfw.reach.exposure import LEVELS
from dockerfw.reach.sentences import LEVEL_WORDS
from rules.asking.exposure_line_selectors import Action, Line, exposure_lines, idle_holding
from rules.asking.exposure_run_selectors import fold_runs
from rules.asking.exposure_selectors import read_exposure
from rules.asking.forwarded_line_selectors import forwarded_lines
from rules.draft.basis_selectors import Basis, basis_of
from rules.models import Host
from rules.pages.frame import render_page
from rules.pages.requests import HtmxRequest, host_or_404, text_asked, whole_number
from rules.seen.snapshot_selectors import observe_request

PAGE = 100
SUMMARY_LINES = 6
ACTION_WORDS = {"restrict": "Restrict", "allow": "Allow"}


@require_safe
def exposure_page(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Show the exposure; `q` searches, `who` shows one level alone."""
    host = host_or_404(host_name)
    observe_request(host)
    context = _context(request, basis_of(host))
    # The filter asks for the table alone, a page that waits for the next look for all of it.
    if request.htmx and request.htmx.target != "exposure":
        context |= {"host": host, "swap": True}
        response = render(request, "asking/exposure_table.html", context)
        for name in ("levels", "forwarded", "idle"):
            response.write(render_to_string(f"asking/exposure_{name}.html", context, request))
        response["Cache-Control"] = "no-store"
        return response
    return render_page(request, "asking/exposure.html", host, context, section="exposure")


@require_safe
def exposure_summary(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the summary for the dashboard."""
    host = host_or_404(host_name)
    basis = basis_of(host)
    found = read_exposure(basis, basis.view) if basis.view else None
    wide = [row for row in found.rows if row.level == "anywhere"] if found else []
    lines = fold_runs(exposure_lines(wide, basis.rules, loaded=True))
    context = {"host": host, "snapshot": basis.view, "exposure": found, "lines": lines[:SUMMARY_LINES]}
    response = render(request, "asking/exposure_summary.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _context(request: HttpRequest, basis: Basis) -> dict[str, object]:
    view, rules = basis.view, basis.rules
    query, who = text_asked(request, "q"), text_asked(request, "who")
    who = who if who in LEVELS else ""
    context: dict[str, object] = {
        "snapshot": view,
        "problem": basis.seen.problem,
        "query": query,
        "who": who,
    }
    if view is None:
        return context
    found = read_exposure(basis, view)
    loaded = any(state.label for state in read_kernel_state(view.rulesets).families.values())
    lines = exposure_lines(found.rows, rules, loaded=loaded)
    words = query.casefold().split()
    matching = [line for line in lines if line.holds(words)]
    shown = [line for line in matching if who in ("", line.level)]
    counts = Counter[str](line.level for line in matching)
    behind = [
        line
        for line in forwarded_lines(found.forwarded, rules, loaded=loaded)
        if line.holds(words) and who in ("", line.row.level)
    ]
    page = Paginator(fold_runs(shown), PAGE).get_page(whole_number(request.GET.get("page"), 1))
    return {
        **context,
        "exposure": found,
        "lines": [(line, _actions(basis.host, line)) for line in page],
        "page": page,
        "total": len(lines),
        "levels": [
            (words, counts[level] if level else len(matching), _query(q=query, who=level), level == who)
            for level, words in (("", "All"), *LEVEL_WORDS.items())
            if level in ("", who) or counts[level]
        ],
        "forwarded": [
            (line, [(ACTION_WORDS[line.action.action], _url(basis.host, line.action))] if line.action else [])
            for line in behind
        ],
        "rules": rules,
        # A rule behind which nothing listens belongs to no level.
        "idle": () if who else idle_holding(found.idle, words),
    }


def _query(**values: str) -> str:
    return urlencode({name: value for name, value in values.items() if value})


def _actions(host: Host, line: Line) -> list[tuple[str, str]]:
    """Return the label and the URL of each action of a line."""
    return [(ACTION_WORDS[each.action], _url(host, each)) for each in line.actions]


def _url(host: Host, action: Action) -> str:
    if action.key:
        return reverse("rules:rule-edit", args=[host.name, action.key])
    values = {name: value for name, value in action.values.items() if value}
    return f"{reverse('rules:rule-new', args=[host.name])}?{urlencode(values)}"
