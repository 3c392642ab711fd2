"""The expectations page and its form: list, add, edit, delete. The services validate and lock."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dockerfw.document.document import Expectation as DocumentExpectation
from dockerfw.document.document import expectation_to_json_object, validate_expectation
from dockerfw.document.words import describe_expectation
from dockerfw.iptables.errors import DocumentError
from rules.audit.actors import actor_of
from rules.draft.basis_selectors import basis_of
from rules.draft.conflict_forms import EditConflict, kept_words, merge_edits, merged_data, opened_text
from rules.draft.draft_selectors import base_document, expectation_document, expectation_values
from rules.draft.expectation_forms import ExpectationForm, expectation_initial
from rules.draft.expectation_selectors import expectation_get, expectation_rows
from rules.draft.expectation_services import expectation_create, expectation_delete, expectation_update
from rules.models import Expectation, Host
from rules.pages.errors import Conflict, Invalid
from rules.pages.forms import place_errors
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, whole_number
from rules.pages.wording import expectation_pairs
from rules.seen.consequence_selectors import findings_now
from rules.seen.snapshot_selectors import observe_request

NEW = {"passes": "yes", "protocol": "tcp", "to": "host"}


@require_safe
def expectation_list(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the expectations, their results with the kernel's rules, and what is pending."""
    host = host_or_404(host_name)
    observe_request(host)
    basis = basis_of(host)
    view = basis.view
    findings = findings_now(view, basis.draft) if view else ()
    context = {
        "rows": expectation_rows(host),
        "findings": {each.expectation: each for each in findings},
        "view": view,
    }
    return render_page(request, "draft/expectation_list.html", host, context, section="checks")


@require_http_methods(["GET", "HEAD", "POST"])
def expectation_new(request: HttpRequest, host_name: str) -> HttpResponseBase:
    """Add an expectation."""
    host = host_or_404(host_name)
    if request.method != "POST":
        return _form_page(request, host, ExpectationForm(initial=NEW))
    form = ExpectationForm(request.POST)
    if form.is_valid():
        try:
            row = expectation_create(host=host, actor=actor_of(request), values=form.document_values())
        except Invalid as error:
            place_errors(form, error.errors, form.fields_of_errors())
        else:
            return _redirect_saved(request, host, row, "Added to the draft")
    return _form_page(request, host, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def expectation_edit(request: HttpRequest, host_name: str, key: int) -> HttpResponseBase:
    """Edit an expectation; a conflicting edit shows both versions and keeps what was typed."""
    host = host_or_404(host_name)
    if request.method != "POST":
        row = expectation_get(host, key)
        if row is None:
            messages.warning(request, "That expectation is no longer in the draft.")
            return redirect("rules:expectation-list", host.name)
        initial = {**expectation_initial(expectation_document(row)), "version": row.version}
        opened = opened_text(expectation_values(row))
        return _form_page(request, host, ExpectationForm(initial=initial), key=key, opened=opened)
    form = ExpectationForm(request.POST)
    if not form.is_valid():
        return _form_page(request, host, form, key=key, status=422)
    try:
        row = expectation_update(
            host=host,
            actor=actor_of(request),
            key=key,
            version=form.cleaned_data["version"] or 0,
            values=form.document_values(),
        )
    except Invalid as error:
        place_errors(form, error.errors, form.fields_of_errors())
        return _form_page(request, host, form, key=key, status=422)
    except Conflict as error:
        return _resolve_conflict(request, host, form, key, error)
    return _redirect_saved(request, host, row, "Saved to the draft")


@require_POST
def expectation_delete_view(request: HttpRequest, host_name: str, key: int) -> HttpResponse:
    """Delete an expectation from the draft; an applied one stays listed as removed until the next apply."""
    host = host_or_404(host_name)
    row = expectation_get(host, key)
    version = whole_number(request.POST.get("version"))
    try:
        expectation_delete(host=host, actor=actor_of(request), key=key, version=version)
    except Conflict as error:
        messages.warning(request, f"{error} Nothing was removed. The list shows the current draft.")
    else:
        if row is not None:
            _tell_removed(request, host, expectation_document(row))
    return redirect("rules:expectation-list", host.name)


def _tell_removed(request: HttpRequest, host: Host, expectation: DocumentExpectation) -> None:
    """Say that an expectation was removed, with a button that adds it again; the list has one if applied."""
    base = base_document(host)
    applied = base is not None and expectation in base.expectations
    context = {"host": host, "each": expectation, "applied": applied}
    messages.info(request, render_to_string("draft/expectation_removed.html", context, request))


def _redirect_saved(
    request: HttpRequest, host: Host, row: Expectation, what: str, kept: str = ""
) -> HttpResponse:
    messages.info(request, f"{what}: {describe_expectation(expectation_document(row))}.{kept}")
    return redirect(f"{reverse('rules:expectation-list', args=[host.name])}#expectation-{row.pk}")


def _resolve_conflict(
    request: HttpRequest, host: Host, form: ExpectationForm, key: int, error: Conflict
) -> HttpResponse:
    """Save both edits where no field was changed by both; else show them side by side."""
    theirs, mine = error.current, _canonical(form)
    if not isinstance(theirs, Expectation):
        again = ExpectationForm({**request.POST.dict(), "version": ""})
        return _form_page(request, host, again, conflict=EditConflict(gone=True, lines=()), status=409)
    stored = expectation_values(theirs)
    merge = merge_edits(request, stored, mine)
    if not merge.both:
        try:
            row = expectation_update(
                host=host, actor=actor_of(request), key=key, version=theirs.version, values=merge.values
            )
        except (Conflict, Invalid):
            # A third edit, or one that only both edits together make wrong: the admin decides.
            pass
        else:
            kept = kept_words(expectation_pairs(merge.values, mine))
            return _redirect_saved(request, host, row, "Saved to the draft", kept)
    initial = expectation_initial(expectation_document(theirs))
    return _form_page(
        request,
        host,
        ExpectationForm(merged_data(request, merge, initial, version=str(theirs.version))),
        key=key,
        opened=opened_text(stored),
        conflict=EditConflict(gone=False, lines=expectation_pairs(stored, merge.values)),
        status=409,
    )


def _canonical(form: ExpectationForm) -> Mapping[str, object]:
    """Return the typed values as a document writes them, or as they are where they are not valid."""
    values = form.document_values()
    try:
        checked = expectation_to_json_object(validate_expectation(values))
    except DocumentError:
        return values
    return {name: checked[name] for name in values}


def _form_page(
    request: HttpRequest,
    host: Host,
    form: ExpectationForm,
    *,
    key: int | None = None,
    opened: str = "",
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    action = (
        reverse("rules:expectation-edit", args=[host.name, key])
        if key
        else reverse("rules:expectation-new", args=[host.name])
    )
    context = {
        "form": form,
        "form_action": action,
        "heading": "Edit expectation" if key else "New expectation",
        "conflict": conflict,
        "opened": opened or request.POST.get("opened", ""),
        "back": reverse("rules:expectation-list", args=[host.name]),
        "submit_label": "Save mine" if conflict else "Save to the draft",
    }
    return render_page(request, "draft/expectation_form.html", host, context, section="checks", status=status)
