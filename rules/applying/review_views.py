"""The review page: what applying the draft, or rolling back, would change. POST starts the apply.

Both use the same template. When an apply is refused, the page is shown again with the state of now and with
the message that was typed. The services decide whether an apply may start.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, push_url

from rules.applying.apply_errors import (
    ApplyWaiting,
    EveryPort,
    NotExpected,
    NothingToApply,
    QueueUnavailable,
)
from rules.applying.apply_selectors import recent_applies, unfinished_apply
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.apply_views import apply_answer
from rules.applying.caller_requests import caller_of
from rules.applying.frame_selectors import state_of
from rules.applying.proposal_selectors import Proposal, propose_draft, propose_rollback
from rules.applying.review_forms import ANYWAY, ApplyForm
from rules.applying.review_selectors import Review, build_review
from rules.applying.silence_selectors import describe_silence
from rules.audit.actors import actor_of
from rules.draft.basis_selectors import Basis, basis_of
from rules.draft.document_views import tell_replaced
from rules.draft.draft_services import draft_discard
from rules.models import Apply, Host
from rules.pages.errors import Conflict, Invalid, NotFound, ServiceError
from rules.pages.forms import place_errors
from rules.pages.frame import page_context, render_page
from rules.pages.requests import HtmxRequest, host_or_404, whole_number
from rules.seen.consequence_selectors import LockOut, lock_out
from rules.seen.snapshot_selectors import Look, look, observe_request
from rules.templatetags.dockerfw import with_times

LOOK_AGAIN_SECONDS = 1.0
# Longer lists are on the page only with `?all=yes`: it is to stay small with thousands of changes.
MOST_LISTED = 60
MOST_WITH_ALL = 20_000
SHOW_ALL = format_html('. <a href="{}">{}</a>', "?effects=yes&all=yes", "Show all")
DRAFT_CHANGED = (
    "The draft changed after this page was opened. Nothing was applied. "
    "Review the current changes. Your reason is kept below."
)
HEAD_CHANGED = (
    "Another revision was applied after this page was opened. Nothing was applied. "
    "Review the current changes. Your reason is kept below."
)


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Show what applying the draft would change; POST applies it."""
    host = host_or_404(host_name)
    if request.method != "POST":
        return _first_page(request, host, None)

    def start(basis: Basis, form: ApplyForm, anyway: bool) -> Apply:
        return apply_start(
            basis=basis,
            actor=actor_of(request),
            message=form.cleaned_data["message"],
            draft_version=form.cleaned_data["version"],
            window=form.seconds(),
            end_sessions=form.cleaned_data["end_sessions"],
            override=form.cleaned_data["override"],
            anyway=anyway,
            every_port=form.cleaned_data["every_port"],
        )

    return _order(request, host, None, start)


@require_http_methods(["GET", "HEAD", "POST"])
def rollback(request: HtmxRequest, host_name: str, number: int) -> HttpResponse:
    """Show what rolling back to a revision would change; POST does it, as a new revision."""
    host = host_or_404(host_name)
    if request.method != "POST":
        return _first_page(request, host, number)

    def start(basis: Basis, form: ApplyForm, anyway: bool) -> Apply:
        return rollback_start(
            basis=basis,
            actor=actor_of(request),
            number=number,
            message=form.cleaned_data["message"],
            expected_head=form.cleaned_data["version"],
            window=form.seconds(),
            end_sessions=form.cleaned_data["end_sessions"],
            override=form.cleaned_data["override"],
            anyway=anyway,
            every_port=form.cleaned_data["every_port"],
        )

    return _order(request, host, number, start)


@require_safe
def restore_text(request: HttpRequest, host_name: str, family: str) -> HttpResponse:
    """Answer the text for iptables-restore alone; `number` asks for that of a roll back."""
    basis = basis_of(host_or_404(host_name))
    proposal = _proposal_or_404(basis, whole_number(request.GET.get("number")) or None)
    found = build_review(basis, proposal, effects=False)
    response = HttpResponse(
        found.restore[6 if family == "6" else 4], content_type="text/plain; charset=utf-8"
    )
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def apply_waiting(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer why no apply can start now, an unfinished one or a silent root worker, empty when one can."""
    host = host_or_404(host_name)
    observe_request(host)
    context = {
        **page_context(host, section=""),
        "waiting": unfinished_apply(host),
        "silence": describe_silence(look(host)),
    }
    response = render(request, "applying/apply_waiting.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def discard(request: HttpRequest, host_name: str) -> HttpResponse:
    """Discard the pending changes: reset the draft to the base revision."""
    host = host_or_404(host_name)
    version = whole_number(request.POST.get("version"))
    try:
        draft_discard(host=host, actor=actor_of(request), version=version)
    except Conflict:
        messages.warning(
            request,
            "The draft changed after this page was opened. Nothing was discarded. "
            "Review the pending changes again.",
        )
        return redirect("rules:review", host.name)
    tell_replaced(request, host, "Pending changes discarded.")
    return redirect("rules:rule-list", host.name)


def _show_apply(request: HtmxRequest, apply: Apply) -> HttpResponse:
    """Answer the page of an apply that was just started.

    A browser with scripts gets it in the answer itself. A redirect would be followed over a new connection,
    which the new rules may already refuse.
    """
    if not request.htmx:
        return redirect("rules:apply", apply.host.name, apply.pk)
    response = apply_answer(request, apply.host, apply.pk)
    return push_url(response, reverse("rules:apply", args=[apply.host.name, apply.pk]))


def _redirect_client(request: HtmxRequest, response: HttpResponseRedirect) -> HttpResponse:
    """Let htmx load the page that a redirect leads to as a page of its own."""
    if not request.htmx:
        return response
    return HttpResponseClientRedirect(response.url)


def _first_page(request: HttpRequest, host: Host, number: int | None) -> HttpResponse:
    """Show the review; with thousands of rules the page asks for the effects by itself."""
    basis = basis_of(host, _fresh_look(host))
    proposal = _proposal_or_404(basis, number)
    form = ApplyForm()
    if number is not None:
        verb = "Restore" if number == basis.head else "Roll back to"
        form = ApplyForm(initial={"message": f"{verb} revision {number}"})
    effects = request.GET.get("effects") == "yes" or proposal.is_quick
    return _page(request, basis, build_review(basis, proposal, effects=effects), form, number=number)


def _order(
    request: HtmxRequest, host: Host, number: int | None, start: Callable[[Basis, ApplyForm, bool], Apply]
) -> HttpResponse:
    """Start the apply that a review's form asks for, or show the review again."""
    already = _find_earlier_apply(request, host)
    if already is not None:
        return _redirect_client(
            request, _redirect_to_apply(request, already, "This apply was already started.")
        )
    form = ApplyForm(request.POST)
    if not form.is_valid():
        return _page_again(request, host, form, number=number, status=422)
    basis = basis_of(host)
    anyway = _check_lock_out(request, basis, form, number)
    if form.errors:
        return _page_again(request, host, form, number=number, status=422)
    try:
        apply = start(basis, form, anyway)
    except ServiceError as error:
        return _show_refusal(request, host, form, error, number=number)
    return _show_apply(request, apply)


def _fresh_look(host: Host) -> Look:
    """Return the last snapshot, after giving the root worker a moment to take a new one.

    It takes none while an apply is unfinished.
    """
    before = seen = look(host)
    asked = observe_request(host)
    if not (asked or _is_overtaken(seen)) or unfinished_apply(host) is not None:
        return seen
    ends = time.monotonic() + LOOK_AGAIN_SECONDS
    while time.monotonic() < ends:
        time.sleep(0.05)
        seen = look(host)
        renewed = before.view is None or seen.view is None or seen.view.taken_at != before.view.taken_at
        if seen.view is not None and renewed and not _is_overtaken(seen):
            break
    return seen


def _is_overtaken(seen: Look) -> bool:
    """Return True if the snapshot was read before the last change of the kernel's rules."""
    return seen.view is not None and seen.view.overtaken_by is not None


def _proposal_or_404(basis: Basis, number: int | None) -> Proposal:
    proposal = propose_draft(basis) if number is None else propose_rollback(basis, number)
    if proposal is None:
        raise Http404(f"no revision {number}")
    return proposal


def _find_earlier_apply(request: HttpRequest, host: Host) -> Apply | None:
    """Return the apply that the same page started before: a second click must not start another one."""
    drawn = request.POST.get("sequence")
    if drawn is None or whole_number(drawn) >= host.sequence:
        return None
    newest = next(iter(recent_applies(host)), None)
    if newest is None or newest.requested_by != request.user.get_username():
        return None
    return newest if newest.message == request.POST.get("message", "").strip() else None


def _redirect_to_apply(request: HttpRequest, apply: Apply, text: str) -> HttpResponseRedirect:
    messages.info(request, text)
    return redirect("rules:apply", apply.host.name, apply.pk)


def _show_refusal(
    request: HtmxRequest, host: Host, form: ApplyForm, error: ServiceError, *, number: int | None
) -> HttpResponse:
    if isinstance(error, NotFound):
        raise Http404(str(error)) from error
    if isinstance(error, NothingToApply):
        messages.info(request, str(error))
        return _redirect_client(request, redirect("rules:dashboard", host.name))
    if isinstance(error, Invalid):
        place_errors(form, error.errors)
    elif isinstance(error, NotExpected):
        form.add_error("override", f"{error} Enter a reason to apply anyway.")
    elif isinstance(error, EveryPort):
        form.add_error("every_port", f"{error} Tick this box to apply.")
    elif isinstance(error, ApplyWaiting):
        link = reverse("rules:apply", args=[host.name, error.apply.pk])
        text = with_times(str(error))
        messages.warning(request, format_html('{} <a href="{}">Open that apply</a>', text, link))
    elif not isinstance(error, Conflict):
        messages.warning(request, str(error))
    invalid = isinstance(error, (Invalid, NotExpected, EveryPort))
    status = 422 if invalid else 503 if isinstance(error, QueueUnavailable) else 409
    conflict = str(error) if isinstance(error, Conflict) else ""
    return _page_again(request, host, form, number=number, status=status, conflict=conflict)


def _check_lock_out(request: HttpRequest, basis: Basis, form: ApplyForm, number: int | None) -> bool:
    """Return True if the apply would lock out the caller; without the word that it needs, add the error."""
    proposal = propose_draft(basis) if number is None else propose_rollback(basis, number)
    if proposal is None or basis.view is None or form.cleaned_data["version"] != proposal.expects:
        # Nothing to simulate, or not what the caller has reviewed: the service refuses that.
        return False
    caller = caller_of(request, basis.host)
    locked_out = lock_out(basis.view, proposal.document, proposal.number, caller).can == "no"
    if locked_out and not form.says_anyway():
        form.add_error("anyway", f'This apply would lock you out. Type "{ANYWAY}" to continue.')
    return locked_out


def _lock_out(request: HttpRequest, host: Host, found: Review) -> LockOut | None:
    if found.snapshot is None or found.nothing_to_apply or not found.has_effects:
        return None
    return lock_out(found.snapshot, found.document, found.revision_number, caller_of(request, host))


def _page_again(
    request: HttpRequest, host: Host, form: ApplyForm, *, number: int | None, status: int, conflict: str = ""
) -> HttpResponse:
    """Show the review of now with what was typed; `conflict` is why the order no longer fits."""
    host = host_or_404(host.name)
    basis = basis_of(host, _fresh_look(host))
    proposal = _proposal_or_404(basis, number)
    if whole_number(request.POST.get("version"), -1) != proposal.expects:
        # In every case: a difference that was never reviewed must not look like the reviewed one.
        messages.warning(request, DRAFT_CHANGED if number is None else HEAD_CHANGED)
    elif conflict:
        messages.warning(request, f"{conflict} Nothing was applied.")
    return _page(request, basis, build_review(basis, proposal), form, number=number, status=status)


def _page(
    request: HttpRequest,
    basis: Basis,
    found: Review,
    form: ApplyForm,
    *,
    number: int | None,
    status: int = 200,
) -> HttpResponse:
    whole = request.GET.get("all") == "yes"
    context = {
        "frame_state": state_of(found.sentence),
        "silence": describe_silence(basis.seen),
        "applicable": not found.nothing_to_apply and not (found.plan and found.plan.refusals),
        "most": MOST_WITH_ALL if whole else MOST_LISTED,
        "beyond": "" if whole else SHOW_ALL,
        "review": found,
        "lock_out": _lock_out(request, basis.host, found),
        "form": form,
        "rollback": number,
        "restoring": number is not None and number == found.revision_number,
        "expects": found.draft_version if number is None else basis.head,
        "families": sorted(found.plan.families.items()) if found.plan else (),
        "restores": sorted(found.restore.items()),
    }
    return render_page(
        request,
        "applying/review.html",
        basis.host,
        context,
        section="review" if number is None else "history",
        status=status,
    )
