"""The review: what applying the draft, or rolling back, would change; and the order to do it.

The same template serves both. Whatever goes wrong with an order, the page is shown again as things stand
now, with the message that was typed. Deciding whether an apply may start is the services' matter.
"""

from __future__ import annotations

import time

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rules.applying.apply_errors import ApplyWaiting, NotExpected, NothingToApply, QueueUnavailable
from rules.applying.apply_selectors import recent_applies
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.apply_views import apply_answer
from rules.applying.caller import caller_of
from rules.applying.review_selectors import Review, quickly_weighed, review_basis, rollback_review
from rules.applying.review_selectors import review as draft_review
from rules.audit.actors import actor_of
from rules.draft.draft_selectors import base_revision
from rules.draft.draft_services import draft_discard
from rules.models import Apply, Host
from rules.pages.errors import Conflict, Invalid, NotFound, ServiceError
from rules.pages.forms import ANYWAY, ApplyForm, place_errors
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, is_htmx, whole_number
from rules.seen.consequence_selectors import LockOut, lock_out
from rules.seen.snapshot_selectors import latest_snapshot, observe_request

LOOK_AGAIN_SECONDS = 1.0
DRAFT_CHANGED = (
    "The draft changed since this page was drawn. Nothing was applied. "
    "This is what it would change now; your message is still below."
)
HEAD_CHANGED = (
    "Another revision was applied since this page was drawn. Nothing was applied. "
    "This is what the roll back would change now; your message is still below."
)


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show what applying the draft would change; POST applies it."""
    host = host_or_404(host_name)
    if request.method != "POST":
        weigh = _weigh_now(request, host)
        return _page(request, host, draft_review(_looked_at(host), weigh=weigh), ApplyForm())
    already = _sent_already(request, host)
    if already is not None:
        return _lead(request, _to_apply(request, already, "This was sent already."))
    form = ApplyForm(request.POST)
    if not form.is_valid():
        return _page(request, host, draft_review(_looked_at(host)), form, status=422)
    shut_out = _would_shut_out(request, host, form)
    if form.errors:
        return _page(request, host, draft_review(_looked_at(host)), form, status=422)
    try:
        apply = apply_start(
            host=host,
            actor=actor_of(request),
            message=form.cleaned_data["message"],
            draft_version=form.cleaned_data["version"],
            window=form.seconds(),
            end_sessions=form.cleaned_data["end_sessions"],
            override=form.cleaned_data["override"],
            anyway=shut_out,
        )
    except ServiceError as error:
        return _refused(request, host, form, error)
    return _begun(request, apply)


@require_http_methods(["GET", "HEAD", "POST"])
def rollback(request: HttpRequest, host_name: str, number: int) -> HttpResponse:
    """Show what rolling back to a revision would change; POST does it, as a new revision."""
    host = host_or_404(host_name)
    if request.method != "POST":
        head = base_revision(host)
        restores = head is not None and head.number == number
        form = ApplyForm(
            initial={"message": f"{'Restore' if restores else 'Roll back to'} revision {number}"}
        )
        found = _rollback_or_404(host, number, weigh=_weigh_now(request, host, number))
        return _page(request, host, found, form, number=number)
    already = _sent_already(request, host)
    if already is not None:
        return _lead(request, _to_apply(request, already, "This was sent already."))
    form = ApplyForm(request.POST)
    if not form.is_valid():
        return _page(request, host, _rollback_or_404(host, number), form, number=number, status=422)
    shut_out = _would_shut_out(request, host, form, number=number)
    if form.errors:
        return _page(request, host, _rollback_or_404(host, number), form, number=number, status=422)
    try:
        apply = rollback_start(
            host=host,
            actor=actor_of(request),
            number=number,
            message=form.cleaned_data["message"],
            expected_head=form.cleaned_data["version"],
            window=form.seconds(),
            end_sessions=form.cleaned_data["end_sessions"],
            override=form.cleaned_data["override"],
            anyway=shut_out,
        )
    except ServiceError as error:
        return _refused(request, host, form, error, number=number)
    return _begun(request, apply)


@require_safe
def restore_text(request: HttpRequest, host_name: str, family: str) -> HttpResponse:
    """Answer the text that iptables-restore would be given, by itself; `number` asks for a roll back's."""
    host = host_or_404(host_name)
    number = whole_number(request.GET.get("number"))
    found = _rollback_or_404(host, number, weigh=False) if number else draft_review(host, weigh=False)
    response = HttpResponse(
        found.restore[6 if family == "6" else 4], content_type="text/plain; charset=utf-8"
    )
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def discard(request: HttpRequest, host_name: str) -> HttpResponse:
    """Put the draft back to what was applied last."""
    host = host_or_404(host_name)
    version = whole_number(request.POST.get("version"))
    try:
        draft_discard(host=host, actor=actor_of(request), version=version)
    except Conflict:
        messages.warning(
            request,
            "The draft changed since this page was drawn. Nothing was discarded; look again what is pending.",
        )
        return redirect("rules:review", host.name)
    messages.info(request, "The pending changes are discarded. The audit still shows what they were.")
    return redirect("rules:rule-list", host.name)


def _begun(request: HttpRequest, apply: Apply) -> HttpResponse:
    """Answer the page of an apply that was just ordered.

    A browser with scripts gets it in the answer itself: a redirect would have to be followed over a new
    connection, which the very rules that were ordered may refuse by then.
    """
    if not is_htmx(request):
        return redirect("rules:apply", apply.host.name, apply.pk)
    response = apply_answer(request, apply.host, apply.pk)
    response["HX-Push-Url"] = reverse("rules:apply", args=[apply.host.name, apply.pk])
    return response


def _lead(request: HttpRequest, response: HttpResponseRedirect) -> HttpResponse:
    """Let htmx load the page that a redirect leads to as a page of its own."""
    if not is_htmx(request):
        return response
    return HttpResponse(headers={"HX-Redirect": response.url})


def _looked_at(host: Host) -> Host:
    """Give the root worker a moment to look, so that the plan is measured against the kernel of now."""
    snapshot = latest_snapshot(host)
    before = snapshot.taken_at if snapshot else None
    if not observe_request(host):
        return host
    ends = time.monotonic() + LOOK_AGAIN_SECONDS
    while time.monotonic() < ends:
        time.sleep(0.05)
        snapshot = latest_snapshot(host)
        if snapshot is not None and snapshot.taken_at != before:
            break
    return host


def _weigh_now(request: HttpRequest, host: Host, number: int | None = None) -> bool:
    """Say whether the page waits for what a load means, or comes without and asks for it by itself."""
    return request.GET.get("weigh") == "yes" or quickly_weighed(host, number)


def _rollback_or_404(host: Host, number: int, *, weigh: bool = True) -> Review:
    found = rollback_review(_looked_at(host), number, weigh=weigh)
    if found is None:
        raise Http404(f"no revision {number}")
    return found


def _sent_already(request: HttpRequest, host: Host) -> Apply | None:
    """Find the apply that this very page ordered before: a second click must not make a second one."""
    drawn = request.POST.get("sequence")
    if drawn is None or whole_number(drawn) >= host.sequence:
        return None
    newest = next(iter(recent_applies(host)), None)
    if newest is None or newest.requested_by != request.user.get_username():
        return None
    return newest if newest.message == request.POST.get("message", "").strip() else None


def _to_apply(request: HttpRequest, apply: Apply, text: str) -> HttpResponseRedirect:
    messages.info(request, text)
    return redirect("rules:apply", apply.host.name, apply.pk)


def _refused(
    request: HttpRequest, host: Host, form: ApplyForm, error: ServiceError, *, number: int | None = None
) -> HttpResponse:
    if isinstance(error, NotFound):
        raise Http404(str(error)) from error
    if isinstance(error, NothingToApply):
        messages.info(request, str(error))
        return _lead(request, redirect("rules:dashboard", host.name))
    if isinstance(error, Invalid):
        place_errors(form, error.errors)
    elif isinstance(error, NotExpected):
        form.add_error("override", f"{error} Say why it has to be applied all the same.")
    elif isinstance(error, ApplyWaiting):
        link = reverse("rules:apply", args=[host.name, error.apply.pk])
        messages.warning(request, format_html('{} <a href="{}">See that apply</a>', str(error), link))
    elif not isinstance(error, Conflict):
        messages.warning(request, str(error))
    host.refresh_from_db()
    found = draft_review(_looked_at(host)) if number is None else _rollback_or_404(host, number)
    invalid = isinstance(error, (Invalid, NotExpected))
    status = 422 if invalid else 503 if isinstance(error, QueueUnavailable) else 409
    return _page(request, host, found, form, number=number, status=status)


def _would_shut_out(request: HttpRequest, host: Host, form: ApplyForm, number: int | None = None) -> bool:
    """Say whether what is ordered would shut the caller out; if it does, and the word is missing, say so."""
    basis, view = review_basis(host, number), latest_snapshot(host)
    if basis is None or view is None or form.cleaned_data["version"] != basis.expects:
        # There is nothing to measure, or something else than what was read; the service says so.
        return False
    shut_out = lock_out(view, basis.document, basis.revision_number, caller_of(request, host)).can == "no"
    if shut_out and not form.says_anyway():
        form.add_error("anyway", f"This would shut you out. Type {ANYWAY} if that is what you want.")
    return shut_out


def _lock_out(request: HttpRequest, host: Host, found: Review) -> LockOut | None:
    if found.snapshot is None or found.nothing_to_apply or not found.weighed:
        return None
    return lock_out(found.snapshot, found.document, found.revision_number, caller_of(request, host))


def _page(
    request: HttpRequest,
    host: Host,
    found: Review,
    form: ApplyForm,
    *,
    number: int | None = None,
    status: int = 200,
) -> HttpResponse:
    expects = found.draft_version if number is None else found.head
    if request.method == "POST" and whole_number(request.POST.get("version"), -1) != expects:
        # Whatever else was wrong: a diff that nobody has seen must not look like the one that was read.
        messages.warning(request, DRAFT_CHANGED if number is None else HEAD_CHANGED)
    context = {
        "review": found,
        "lock_out": _lock_out(request, host, found),
        "form": form,
        "rollback": number,
        "restoring": number is not None and number == found.revision_number,
        "expects": expects,
        "families": sorted(found.plan.families.items()) if found.plan else (),
        "restores": sorted(found.restore.items()),
    }
    return render_page(
        request,
        "rules/review.html",
        host,
        context,
        section="review" if number is None else "history",
        status=status,
    )
