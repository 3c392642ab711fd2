"""The live page: the tables and chains in the kernel, refreshed while the page is open.

One `observe` serves all viewers, and one rendering those with the same filters. A poll that finds nothing new
is answered with 204.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from dockerfw.iptables.model import Family
from rules.applying.apply_selectors import ApplyView, unfinished_view
from rules.applying.frame_selectors import frame_state
from rules.models import Host
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.seen.live_selectors import CHAINS, LiveChain, LiveView, Opening, live_view
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import Look, SnapshotView, look, observe_request, previous_snapshot

# What the viewers of now see: each has some filters, and one of the last snapshots to compare with.
MOST_SHOWN: Final = 32
MOST_CHAINS: Final = 8 * CHAINS


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of one viewer, kept in the query string."""

    family: Family
    query: str
    hide_empty: bool
    chain: str
    page: int
    chains: int = 0
    opened: frozenset[str] | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> Wanted:
        """Read the filters from an address; invalid values become the first page of IPv4."""
        get = request.GET
        return cls(
            family=6 if get.get("family") == "6" else 4,
            query=text_asked(request, "q"),
            hide_empty=get.get("empty") == "hide",
            chain=text_asked(request, "chain"),
            page=whole_number(get.get("page"), 1),
            chains=whole_number(get.get("chains")),
            opened=frozenset(get.getlist("open")[:CHAINS]) if get.get("opened") else None,
        )

    def query_string(self, **changes: object) -> str:
        """Return the filters as a query string, with some of them changed."""
        values: dict[str, object] = {
            "family": self.family,
            "q": self.query,
            "empty": "hide" if self.hide_empty else "",
            "chain": self.chain,
            "page": self.page if self.page > 1 else "",
            "chains": self.chains or "",
            **changes,
        }
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True, slots=True)
class Shown:
    """The chains of a snapshot as some viewers see them, and their HTML."""

    view: LiveView
    html: SafeString
    moving: bool


_shown: Memory[Shown] = Memory(MOST_SHOWN)
_chains: Memory[SafeString] = Memory(MOST_CHAINS)


@require_safe
def live(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the chains of one family; `q` filters, `empty=hide` hides empty ones, `page` turns `chain`."""
    host = host_or_404(host_name)
    observe_request(host)
    seen, running = look(host), unfinished_view(host)
    state = cache(partial(frame_state, host, running, seen))
    context = {**_context(request, host, seen, _window_of(running)), "frame_state": state}
    return render_page(request, "overview/live.html", host, context, section="live")


@require_safe
def live_poll(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the chains when they changed, else 204 with the time of the last snapshot."""
    host = host_or_404(host_name)
    observe_request(host)
    seen = look(host)
    snapshot = seen.view
    if snapshot is None:
        return HttpResponse(status=204)
    window = _window_of(unfinished_view(host))
    # In an open window, and before the look that follows a load, the page says why it shows an older reading.
    same = (request.GET.get("sha"), request.GET.get("window", ""), request.GET.get("overtaken", "")) == (
        snapshot.snapshot.sha256,
        window,
        _mark_of(snapshot),
    )
    # Rates must go back to zero once, although nothing else changed.
    moving = request.GET.get("moving") == "yes" and request.GET.get("since") != snapshot.snapshot.taken_at
    # A chain that was opened shows its rules at once.
    if same and not moving and not request.GET.get("show"):
        times = {"taken_at": snapshot.taken_at.isoformat(), "now": timezone.now().isoformat()}
        return trigger_client_event(HttpResponse(status=204), "live-seen", times)
    context = {**_context(request, host, seen, window), "host": host}
    response = render(request, "overview/live_chains.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _context(request: HttpRequest, host: Host, seen: Look, window: str) -> dict[str, object]:
    wanted = Wanted.of(request)
    context: dict[str, object] = {
        "wanted": wanted,
        "problem": seen.problem,
        "snapshot": seen.view,
        "in_window": window,
    }
    for family in (4, 6):
        context[f"to_ipv{family}"] = wanted.query_string(family=family, chain="", page="", chains="")
    if seen.view is None:
        return context
    since = request.GET.get("since", "")
    previous = previous_snapshot(host, since) if since else None
    shown = _show(host, wanted, seen.view, previous)
    poll = wanted.query_string(
        since=seen.view.snapshot.taken_at,
        sha=seen.view.snapshot.sha256,
        moving="yes" if shown.moving else "",
        window=window,
        overtaken=_mark_of(seen.view),
    )
    return {
        **context,
        "view": shown.view,
        "chains": shown.html,
        "failures": seen.view.snapshot.errors,
        "poll": poll,
        "now": timezone.now(),
    }


def _window_of(running: ApplyView | None) -> str:
    """Return the unfinished apply if its confirmation window is open, else an empty text."""
    return "" if running is None or running.window is None or running.window.over else str(running.apply.pk)


def _mark_of(view: SnapshotView) -> str:
    """Return a word for what a page says of a snapshot from before the last change, empty for a later one."""
    if view.overtaken_by is None:
        return ""
    return "expected" if view.expected else "silent"


def _show(host: Host, wanted: Wanted, snapshot: SnapshotView, previous: SnapshotView | None) -> Shown:
    """Return the chains with their HTML, which depends on nothing but this."""
    compared = previous.snapshot.taken_at if previous else ""
    key = (host.name, snapshot.snapshot.taken_at, snapshot.snapshot.sha256, compared, wanted)
    return _shown.get_or_compute(key, lambda: _render(host, wanted, snapshot, previous))


def _render(host: Host, wanted: Wanted, snapshot: SnapshotView, previous: SnapshotView | None) -> Shown:
    view = live_view(
        snapshot,
        family=wanted.family,
        query=wanted.query,
        hide_empty=wanted.hide_empty,
        page=wanted.page,
        open_chain=wanted.chain,
        previous=previous,
        opening=Opening(wanted.opened, wanted.chains),
    )
    chains = [chain for table in view.tables for chain in table.chains]
    turn, on_page = wanted.query_string(chain="", page="", chains=""), {chain.anchor for chain in chains}
    before, after = (
        wanted.query_string(chain="", page="", chains=page) if 0 < page <= view.pages else ""
        for page in (view.page - 1, view.page + 1)
    )
    context = {
        "wanted": wanted,
        "view": view,
        "tables": [
            (table, [_chain_html(host, wanted, turn, on_page, chain) for chain in table.chains])
            for table in view.tables
        ],
        "before": before,
        "after": after,
    }
    moving = any(row.packets_per_second for chain in chains for row in chain.rows)
    return Shown(view, render_to_string("overview/live_tables.html", context), moving)


def _chain_html(host: Host, wanted: Wanted, turn: str, on_page: set[str], chain: LiveChain) -> SafeString:
    """Return the HTML of a chain, which mostly is as it was at the look before."""
    jumps = frozenset(row.jump_anchor for row in chain.rows) & on_page
    context = {"host": host, "query": wanted.query, "turn": turn, "chain": chain, "on_page": jumps}
    return _chains.get_or_compute(
        (host.name, wanted.query, turn, chain, jumps),
        lambda: render_to_string("overview/live_chain.html", context),
    )
