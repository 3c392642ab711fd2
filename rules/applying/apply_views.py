"""The page of one apply: its steps as they happen, the confirmation window, and iptables' own errors."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe
from django_htmx.http import HTMX_STOP_POLLING

from rules.applying.apply_selectors import ApplyView, apply_get
from rules.models import Host
from rules.pages.frame import page_context, render_page, render_pieces
from rules.pages.requests import HtmxRequest, host_or_404
from rules.seen.snapshot_selectors import observe_request

# Read together with the apply, so that no line contradicts its state.
MORE_PIECES = ("applying/window_banner", "applying/state_banner", "applying/state_pill")
STEP_WORDS = {
    "lock": "Wait for other applies",
    "validate": "Validate the document",
    "snapshot": "Read the kernel's rules",
    "sets": "Create and fill the ipsets",
    "rehearse": "Test in a scratch network namespace",
    "watchdog": "Start the rollback watchdog",
    "load-ipv4": "Load IPv4",
    "load-ipv6": "Load IPv6",
    "read-back": "Read back and compare",
    "expectations": "Check the expectations",
    "boot-files": "Write the boot files",
    "sessions": "End the sessions that are no longer allowed",
    "report": "Report",
    "keep": "Keep",
    "extend": "Extend the window",
    "rollback": "Roll back",
}


@require_safe
def apply_page(request: HttpRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Show an apply; while it runs, the page polls its status."""
    return apply_answer(request, host_or_404(host_name), apply_id)


def apply_answer(request: HttpRequest, host: Host, apply_id: uuid.UUID) -> HttpResponse:
    """Render the page of an apply as the answer to any request."""
    context = _context(request, host, apply_id)
    return render_page(request, "applying/apply.html", context["view"].apply.host, context, section="apply")


@require_safe
def apply_status(request: HttpRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Answer the steps so far, 204 when nothing changed since `seen`; stop the polling at the end."""
    host = host_or_404(host_name)
    context = _context(request, host, apply_id)
    view: ApplyView = context["view"]
    if request.GET.get("seen") == context["seen"] and not view.finished:
        return HttpResponse(status=204)
    response = _piece(request, context)
    if view.finished:
        response.status_code = HTMX_STOP_POLLING
    return response


@require_safe
def window_banner(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the line about an open window that every page shows; empty when there is none."""
    host = host_or_404(host_name)
    context = page_context(host, section="")
    response = render(request, "applying/window_sentence.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def state_banner(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Answer the bar and the pill about the host's state that every page shows, and ask for a new snapshot.

    The dashboard has no bar: there the pill asks for itself.
    """
    host = host_or_404(host_name)
    observe_request(host)
    if request.htmx and request.htmx.target == "state-pill":
        response = render(request, "applying/state_pill.html", page_context(host, section="dashboard"))
    else:
        context = page_context(host, section="")
        response = render(request, "applying/state_sentence.html", context)
        response.write(render_to_string("applying/state_pill.html", {**context, "swap": True}, request))
    response["Cache-Control"] = "no-store"
    return response


def status_piece(
    request: HttpRequest, host: Host, apply_id: uuid.UUID, *, problem: str = "", status: int = 200
) -> HttpResponse:
    """Render the changing part of the page; `problem` is the reason why an answer was refused."""
    context = {**_context(request, host, apply_id), "problem": problem}
    return _piece(request, context, status=status)


def _piece(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    host = context["view"].apply.host
    response = render(request, "applying/apply_status.html", {**context, "host": host}, status=status)
    response.write(render_pieces(request, host, section="apply", more=MORE_PIECES))
    response["Cache-Control"] = "no-store"
    return response


def _context(request: HttpRequest, host: Host, apply_id: uuid.UUID) -> dict[str, Any]:
    view = apply_get(apply_id)
    if view is None or view.apply.host_id != host.pk:
        raise Http404("no such apply")
    said = [(step.name, step.state, step.detail) for step in view.steps]
    open_until = (view.window.deadline, view.window.over) if view.window else None
    text = repr((view.state, view.finished, view.notice, said, open_until, view.asked, view.error))
    return {
        "mine": view.apply.requested_by == request.user.get_username(),
        "view": view,
        "steps": [(STEP_WORDS.get(step.name, step.name), step) for step in view.steps],
        "failed_step": STEP_WORDS.get(view.error.step, view.error.step) if view.error else "",
        "seen": hashlib.sha256(text.encode()).hexdigest()[:16],
    }
