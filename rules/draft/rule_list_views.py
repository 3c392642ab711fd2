"""The rules page: the draft's rules with marks, hits and warnings; on demand other rules, read-only."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from dockerfw.iptables.model import FAMILIES, Family
from rules.draft.covering_selectors import covering_rules
from rules.draft.rule_bulk_views import ACTIONS
from rules.draft.rule_search_selectors import search_problem
from rules.draft.rule_selectors import PAGE, rule_rows
from rules.draft.warning_selectors import published_without_rule, warnings_of
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.seen.live_selectors import LiveChain, live_view
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot, observe_request


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A chain of another program that holds rules, in one family."""

    family: Family
    chain: LiveChain


@require_safe
def rule_list(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the rules; `q` searches, `page` selects the page, `others=yes` adds other rules of the kernel."""
    host = host_or_404(host_name)
    snapshot = latest_snapshot(host)
    observe_request(host)
    query = text_asked(request, "q")
    rows = rule_rows(host, query=query, snapshot=snapshot)
    page = Paginator(rows, PAGE).get_page(whole_number(request.GET.get("page"), 1))
    others = request.GET.get("others") == "yes"
    context = {
        "page": page,
        "query": query,
        "search_problem": search_problem(query),
        "covered": covering_rules(host),
        "warnings": warnings_of(host, [row.rule for row in page if row.mark != "removed"], snapshot),
        "unruled": published_without_rule(host, snapshot) if snapshot else (),
        "snapshot": snapshot,
        "others": others,
        "foreign": foreign_chains(snapshot) if others and snapshot else (),
        "back": request.get_full_path(),
        "bulk_actions": ACTIONS.items(),
        "selectable": sum(1 for row in rows if row.version),
    }
    return render_page(request, "draft/rule_list.html", host, context, section="rules")


def foreign_chains(snapshot: SnapshotView) -> tuple[ForeignChain, ...]:
    """Return the chains with other rules, IPv4 first, INPUT and FORWARD included."""
    return tuple(
        ForeignChain(family, chain)
        for family in FAMILIES
        for table in live_view(snapshot, family=family, hide_empty=True).tables
        for chain in table.chains
        if chain.owner != "dockerfw"
    )
