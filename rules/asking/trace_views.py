"""The trace page: one simulated packet, its verdict, the deciding rule and its path. Nothing is sent.

It is a GET form, so that an answer has a URL to share.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from dockerfw.iptables.protocols import protocol_name
from dockerfw.messages.snapshot_values import containers_of
from dockerfw.reach.question import THIS_HOST, QuestionError
from rules.applying.history_selectors import newest_revisions
from rules.asking.trace_forms import TraceForm
from rules.asking.trace_selectors import Answer, answer_question
from rules.audit.actors import actor_of
from rules.draft.basis_selectors import Basis, basis_of
from rules.models import Host
from rules.pages.forms import place_errors
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404
from rules.seen.destination_selectors import leads_to_container
from rules.seen.snapshot_selectors import SnapshotView, observe_request

# At most this many steps that did not match are shown; the rest is counted.
FOLDED = 50


@require_safe
def trace(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the form, with `source` also the answer. Other fields alone fill in the form."""
    host = host_or_404(host_name)
    observe_request(host)
    basis = basis_of(host)
    view = basis.view
    asked = "source" in request.GET
    form = TraceForm(request.GET) if asked else TraceForm(initial=request.GET.dict())
    form.offer(interfaces=_interfaces(view), revisions=_revisions(host))
    answer = _answer(basis, view, form) if asked and view else None
    context = {
        "form": form,
        "asked": asked,
        "answer": answer,
        "snapshot": view,
        "problem": basis.seen.problem,
        "sources": _sources(request, view),
        "destinations": _destinations(view),
        "rules": basis.rules,
        "folded": FOLDED,
        "allow": _allow(host, view, answer) if answer and view else "",
    }
    status = 422 if asked and form.errors else 200
    return render_page(request, "asking/trace.html", host, context, section="trace", status=status)


def _answer(basis: Basis, view: SnapshotView, form: TraceForm) -> Answer | None:
    if not form.is_valid():
        return None
    try:
        return answer_question(basis, view, form.question(), form.ground())
    except QuestionError as error:
        place_errors(form, error.errors, {"against": "on"} if form.asks_for_a_day() else {})
        return None


def _allow(host: Host, view: SnapshotView, answer: Answer) -> str:
    """Return the URL of the rule form, filled in with a rule that would allow this packet."""
    trace = answer.rows.trace
    packet, to = trace.packet, trace.destination
    scope = {"FORWARD": "container", None: "both"}.get(trace.hook, "host")
    if trace.hook == "FORWARD" and to is not None and not leads_to_container(view, to):
        scope = "forwarded"
    values = {
        "scope": scope,
        "to": str(to) if scope == "forwarded" else "",
        "protocol": protocol_name(packet.protocol),
        "ports": str(packet.destination_port or ""),
        "source": str(packet.source),
    }
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{reverse('rules:rule-new', args=[host.name])}?{query}"


def _interfaces(view: SnapshotView | None) -> list[str]:
    return [each.name for each in view.snapshot.interfaces] if view else []


def _revisions(host: Host) -> dict[str, str]:
    return {
        str(
            each.number
        ): f"Revision {each.number}: {each.message.splitlines()[0][:60] if each.message else ''}"
        for each in newest_revisions(host)
    }


def _sources(request: HttpRequest, view: SnapshotView | None) -> Mapping[str, str]:
    """Return the suggested sources: the viewer's own address, the containers and the host."""
    found = {address: "your address"} if (address := actor_of(request).address) else {}
    return {**found, **_containers(view), THIS_HOST: "this host"}


def _destinations(view: SnapshotView | None) -> Mapping[str, str]:
    found = {THIS_HOST: "this host", **_containers(view)}
    for each in view.snapshot.interfaces if view else ():
        found |= {address.partition("/")[0]: each.name for address in each.addresses}
    return found


def _containers(view: SnapshotView | None) -> Mapping[str, str]:
    known = containers_of(view.snapshot) if view else None
    return {
        each.name: ", ".join(
            ["container", *(f"port {port.port}" for port in dict.fromkeys(each.publications))][:5]
        )
        for each in known or ()
    }
