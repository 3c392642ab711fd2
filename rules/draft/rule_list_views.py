"""The rules page: the draft's rules with marks, hits and warnings; on demand other rules, read-only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from dockerfw.iptables.model import FAMILIES, Family
from rules.draft.covering_selectors import covering_rules
from rules.draft.draft_selectors import draft_groups
from rules.draft.rule_count_selectors import rule_counts
from rules.draft.rule_order_selectors import known_order, sort_rules
from rules.draft.rule_search_selectors import search_problem, unmatched_words
from rules.draft.rule_selectors import (
    PAGE,
    drafted_rules,
    drafted_tags,
    matching_rules,
    rows_of,
    searched,
)
from rules.draft.warning_selectors import published_without_rule, warnings_of
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.seen.live_selectors import LiveChain, live_view
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot, observe_request

# The columns by their order in the address, and those that begin with the largest.
_COLUMNS: Final = {
    "on": "On",
    "name": "Name",
    "service": "Service",
    "sources": "Sources",
    "where": "Where",
    "hits": "Hits",
    "last": "Last hit",
}
_LARGEST_FIRST: Final = ("hits", "last")
# Words of a search that can be switched on and off.
_FILTERS: Final = {
    "pending": "Changed",
    "anyone": "Anyone",
    "block": "Blocks",
    "unused": "Unused",
    "expires": "Expiring",
    "disabled": "Off",
}
_MOST_TAGS: Final = 100


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A chain of another program that holds rules, in one family."""

    family: Family
    chain: LiveChain


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column, with the address that sorts by it; `direction` is that of the current order."""

    name: str
    label: str
    url: str
    direction: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A word of the search as a switch, with the address that flips it."""

    word: str
    label: str
    url: str
    is_on: bool


@require_safe
def rule_list(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the rules; `q` searches, `sort` orders, `page` selects, `others=yes` adds rules of the kernel."""
    host = host_or_404(host_name)
    snapshot = latest_snapshot(host)
    observe_request(host)
    query, order = text_asked(request, "q"), known_order(text_asked(request, "sort"))
    rules, counts = drafted_rules(host), rule_counts(host, snapshot)
    found = sort_rules(matching_rules(host, rules, counts, query), counts, order)
    page = Paginator(found, PAGE).get_page(whole_number(request.GET.get("page"), 1))
    others = request.GET.get("others") == "yes"
    context = {
        "page": page,
        "rows": rows_of(page, counts),
        "query": query,
        "order": order,
        "columns": list(_columns(request.GET, order)),
        "filters": list(_filters(request.GET, query)),
        "total": len(rules),
        "found": len(found),
        "problem": search_problem(query),
        "unmatched": unmatched_words(query, [searched(each, counts) for each in rules], draft_groups(host))
        if not found
        else "",
        "counts": counts,
        "covered": covering_rules(host),
        "warnings": warnings_of(host, [each.rule for each in page if each.mark != "removed"], snapshot),
        "unruled": published_without_rule(host, snapshot) if snapshot else (),
        "snapshot": snapshot,
        "others": others,
        "foreign": foreign_chains(snapshot) if others and snapshot else (),
        "back": request.get_full_path(),
        "place": place_part(request.get_full_path()),
        "tags": drafted_tags(host)[:_MOST_TAGS],
        "selectable": sum(1 for each in found if each.version),
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


def place_part(back: str) -> str:
    """Return the part of a link that leads back to the search, order and page of this address."""
    query = back.partition("?")[2]
    return f"?{urlencode({'back': f'?{query}'})}" if query else ""


def _columns(asked: QueryDict, order: str) -> Iterator[Column]:
    """Yield the columns. The first click sorts, the second turns the order, the third ends it."""
    for name, label in _COLUMNS.items():
        first, second = (f"-{name}", name) if name in _LARGEST_FIRST else (name, f"-{name}")
        following = {first: second, second: ""}.get(order, first)
        direction = {name: "ascending", f"-{name}": "descending"}.get(order, "")
        yield Column(name, label, _url(asked, sort=following), direction, name == "hits")


def _filters(asked: QueryDict, query: str) -> Iterator[Filter]:
    words = query.split()
    for word, label in _FILTERS.items():
        is_on = word in query.casefold().split()
        following = [each for each in words if each.casefold() != word] if is_on else [*words, word]
        yield Filter(word, label, _url(asked, q=" ".join(following)), is_on)


def _url(asked: QueryDict, **changed: str) -> str:
    """Return the address of the first page with other values."""
    values = asked.copy()
    values.pop("page", None)
    for name, value in changed.items():
        values[name] = value
        if not value:
            del values[name]
    return f"?{values.urlencode()}"
