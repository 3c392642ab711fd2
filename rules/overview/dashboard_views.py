"""The dashboard: the state of the kernel in one sentence, and what happens on the host at a glance.

Every claim comes from a snapshot or from samples. What they do not tell is called unknown.
"""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from rules.applying.apply_selectors import awaiting_view, recent_applies
from rules.applying.drift_selectors import drift_view
from rules.applying.frame_selectors import state_of
from rules.applying.kernel_selectors import kernel_sentence
from rules.audit.process_services import process_seen
from rules.draft.basis_selectors import Basis, basis_of
from rules.draft.settings_views import OfferedInterface, offered_interfaces
from rules.overview.dashboard_selectors import MOST_LINES, ending_rules, family_counts, read_checks
from rules.overview.dashboard_tile_selectors import read_tiles
from rules.overview.host_row_selectors import host_rows
from rules.overview.process_selectors import process_notices
from rules.pages.frame import render_page
from rules.pages.host_selectors import host_default, many_hosts
from rules.pages.requests import HtmxRequest, host_or_404
from rules.seen.snapshot_selectors import observe_request


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Redirect to the only host, or to the list of several."""
    return redirect("rules:host-list") if many_hosts() else redirect("rules:dashboard", host_default().name)


@require_safe
def host_list(request: HttpRequest) -> HttpResponse:
    """List the hosts with their state, those that need attention first."""
    rows = host_rows()
    for row in rows:
        observe_request(row.host)
    return render_page(request, "overview/host_list.html", None, {"rows": rows}, section="hosts")


@require_safe
def dashboard(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Show the dashboard; htmx asks for the parts about the kernel."""
    host = host_or_404(host_name)
    observe_request(host)
    process_seen(name="web")
    basis = basis_of(host)
    waiting = awaiting_view(host)
    context = {
        **_kernel_part(basis),
        "host": host,
        "open_apply": waiting.apply if waiting else None,
    }
    if request.htmx:
        response = render(request, "overview/dashboard_kernel.html", context)
        for part in ("facts", "checks"):
            response.write(
                render_to_string(f"overview/dashboard_{part}.html", {**context, "swap": True}, request)
            )
        response["Cache-Control"] = "no-store"
        return response
    context["applies"] = recent_applies(host)
    return render_page(request, "overview/dashboard.html", host, context, section="dashboard")


@require_safe
def dashboard_tiles(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the tiles of the dashboard."""
    host = host_or_404(host_name)
    context = {"host": host, "tiles": read_tiles(basis_of(host), timezone.now())}
    response = render(request, "overview/dashboard_tiles.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _kernel_part(basis: Basis) -> dict[str, object]:
    seen = basis.seen
    interfaces: tuple[OfferedInterface, ...] = offered_interfaces(seen.view)
    sentence = kernel_sentence(basis)
    return {
        "sentence": sentence,
        "frame_state": partial(state_of, sentence),
        "notices": process_notices(basis.host, seen),
        "drift": drift_view(sentence.drift),
        "revision": basis.base,
        "snapshot": seen.view,
        "counts": family_counts(seen.view) if seen.view else (),
        "interfaces": interfaces,
        "checks": read_checks(basis),
        "ending": ending_rules(basis.base_document, timezone.now())[:MOST_LINES],
    }
