"""The dashboard: the state of the kernel in one sentence, counts, the last applies and the interfaces.

Every claim comes from a snapshot. Without a fresh one the page says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from dockerfw.chains.kernel_state import sum_refused
from dockerfw.chains.names import is_own_chain
from dockerfw.iptables.model import Counters, Family
from rules.applying.apply_selectors import awaiting_view, recent_applies
from rules.applying.drift_selectors import drift_view
from rules.applying.kernel_selectors import kernel_sentence
from rules.audit.process_services import process_seen
from rules.draft.basis_selectors import basis_of
from rules.draft.settings_views import OfferedInterface, offered_interfaces
from rules.models import Host
from rules.overview.process_selectors import process_notices
from rules.pages.frame import render_page
from rules.pages.host_selectors import host_default
from rules.pages.requests import HtmxRequest, host_or_404
from rules.seen.snapshot_selectors import SnapshotView, observe_request


@dataclass(frozen=True, slots=True)
class FamilyCounts:
    """The rules of one family; `refused` is None where the last rule of FILTERS is not loaded."""

    family: Family
    ours: int
    others: int
    refused: Counters | None


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Redirect to the default host."""
    return redirect("rules:dashboard", host_default().name)


@require_safe
def dashboard(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Show the dashboard; htmx asks for the part about the kernel."""
    host = host_or_404(host_name)
    observe_request(host)
    process_seen(name="web")
    waiting = awaiting_view(host)
    context = {
        **_kernel_part(host),
        "applies": recent_applies(host),
        "host": host,
        "open_apply": waiting.apply if waiting else None,
    }
    if request.htmx:
        response = render(request, "overview/kernel.html", context)
        response["Cache-Control"] = "no-store"
        return response
    return render_page(request, "overview/dashboard.html", host, context, section="dashboard")


def _kernel_part(host: Host) -> dict[str, object]:
    basis = basis_of(host)
    seen = basis.seen
    interfaces: tuple[OfferedInterface, ...] = offered_interfaces(seen.view)
    sentence = kernel_sentence(basis)
    return {
        "sentence": sentence,
        "notices": process_notices(host, seen),
        "drift": drift_view(sentence.drift),
        "revision": basis.base,
        "snapshot": seen.view,
        "counts": family_counts(seen.view) if seen.view else (),
        "interfaces": interfaces,
    }


def family_counts(view: SnapshotView) -> tuple[FamilyCounts, ...]:
    """Count the rules of both families by owner, and the packets that dockerfw refused."""
    found: list[FamilyCounts] = []
    for family, ruleset in sorted(view.rulesets.items()):
        ours = others = 0
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                if table.name == "filter" and is_own_chain(chain.name):
                    ours += len(chain.rules)
                else:
                    others += len(chain.rules)
        found.append(FamilyCounts(family, ours, others, sum_refused(ruleset)))
    return tuple(found)
