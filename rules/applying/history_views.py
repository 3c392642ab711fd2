"""The history: all revisions, one revision, two compared. Rolling back starts with a review."""

from __future__ import annotations

from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from rules.applying.history_selectors import (
    compare_revisions,
    history_page,
    loaded_number,
    noticed_events,
    revision_applies,
    revision_get,
)
from rules.applying.proposal_selectors import next_number
from rules.audit.audit_services import VERBS
from rules.draft.document_views import document_file
from rules.draft.draft_selectors import revision_document
from rules.models import Host
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.seen.snapshot_selectors import latest_snapshot, observe_request

RULES = 40


@require_safe
def history(request: HttpRequest, host_name: str) -> HttpResponse:
    """List the revisions, the newest first; `q` searches, `system=no` leaves out those of the system."""
    host = host_or_404(host_name)
    observe_request(host)
    system = request.GET.get("system") != "no"
    query = text_asked(request, "q")
    found = history_page(
        host,
        system=system,
        query=query,
        page=whole_number(request.GET.get("page"), 1),
        snapshot=latest_snapshot(host),
    )
    newest = _newest(host)
    events = noticed_events(host) if system and not query and found.page == 1 else ()
    context = {
        "history": found,
        "system": system,
        "query": query,
        "to_all": urlencode({"q": query} if query else {}),
        "to_people": urlencode({"system": "no", **({"q": query} if query else {})}),
        "newest": newest,
        "before_newest": max(newest - 1, 1),
        "noticed": [(event, VERBS[event.verb]) for event in events],
    }
    return render_page(request, "applying/history.html", host, context, section="history")


@require_safe
def revision(request: HttpRequest, host_name: str, number: int) -> HttpResponse:
    """Show one revision: author, time, reason, changes and content."""
    host = host_or_404(host_name)
    found = revision_get(host, number)
    if found is None:
        raise Http404(f"no revision {number}")
    observe_request(host)
    compared = compare_revisions(host, None, number)
    document = revision_document(found)
    context = {
        "revision": found,
        "document": document,
        "page": Paginator(document.rules, RULES).get_page(whole_number(request.GET.get("page"), 1)),
        "comparison": compared,
        "applies": revision_applies(found),
        "loaded": loaded_number(latest_snapshot(host)) == number,
        "confirmed": host.confirmed_revision_id == found.pk,
        "next": number + 1 if number < _newest(host) else None,
    }
    return render_page(request, "applying/revision.html", host, context, section="history")


@require_safe
def compare(request: HttpRequest, host_name: str) -> HttpResponse:
    """Compare revision `a` with `b`. `a` defaults to the parent of `b`, `b` to the newest revision."""
    host = host_or_404(host_name)
    newest = _newest(host)
    b = whole_number(request.GET.get("b"), newest)
    a = whole_number(request.GET.get("a")) or None
    compared = compare_revisions(host, a, b) if newest else None
    problem = ""
    if newest and compared is None:
        missing = b if revision_get(host, b) is None else a
        problem = f"There is no revision {missing}. The newest is {newest}."
    swap = ""
    if compared and compared.old:
        query = urlencode({"a": compared.new.number, "b": compared.old.number})
        swap = f"{reverse('rules:compare', args=[host.name])}?{query}"
        a = compared.old.number
    context = {"comparison": compared, "a": a, "b": b, "newest": newest, "problem": problem, "swap": swap}
    status = 404 if problem else 200
    return render_page(request, "applying/compare.html", host, context, section="history", status=status)


def _newest(host: Host) -> int:
    return next_number(host) - 1


@require_safe
def revision_export(request: HttpRequest, host_name: str, number: int) -> HttpResponse:
    """Send a revision's document as a file."""
    host = host_or_404(host_name)
    revision = revision_get(host, number)
    if revision is None:
        raise Http404(f"no revision {number}")
    return document_file(revision_document(revision), f"{host.name}-revision-{number}.json")
