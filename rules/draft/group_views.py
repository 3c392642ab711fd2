"""The groups page, one group with its entries, and the form of a group. The services validate and lock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.entries import read_network
from dockerfw.document.group_words import describe_entries
from rules.audit.actors import actor_of
from rules.draft.conflict_forms import EditConflict, kept_words, merge_edits, merged_data, opened_text
from rules.draft.draft_selectors import base_document, group_document
from rules.draft.group_forms import GroupForm, group_initial
from rules.draft.group_selectors import PAGE, find_in_draft, group_get, group_row, group_rows
from rules.draft.group_services import (
    group_create,
    group_delete,
    group_restore,
    group_update,
    group_validated,
    group_values,
)
from rules.models import Group, Host
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number
from rules.pages.wording import group_pairs

# Longer lists of entries are compared by their digest.
MOST_COMPARED = 500
MOST_CARRIED = 50
ROWS = 100


@require_safe
def group_list(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the groups; `address` asks which groups and rules of the draft hold an address or network."""
    host = host_or_404(host_name)
    asked = text_asked(request, "address")
    network = read_network(asked) if asked else None
    page = Paginator(group_rows(host), ROWS).get_page(whole_number(request.GET.get("page"), 1))
    context = {
        "rows": page.object_list,
        "page": page,
        "asked": asked,
        "network": network,
        "found": find_in_draft(host, network) if network else None,
    }
    return render_page(request, "draft/group_list.html", host, context, section="groups")


@require_safe
def group_page(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Show one group: its entries in pages, and the rules that name it."""
    host = host_or_404(host_name)
    row = group_row(host, name)
    if row is None:
        raise Http404(f"no group {name}")
    query = text_asked(request, "q").lower()
    entries = [each for each in row.group.entries if query in each] if query else row.group.entries
    page = Paginator(entries, PAGE).get_page(whole_number(request.GET.get("page"), 1))
    context = {"row": row, "page": page, "query": query}
    return render_page(request, "draft/group_page.html", host, context, section="groups")


@require_http_methods(["GET", "HEAD", "POST"])
def group_new(request: HttpRequest, host_name: str) -> HttpResponseBase:
    """Add a group; fields of the address (`?kind=feed&url=...`) fill the form in."""
    host = host_or_404(host_name)
    if request.method != "POST":
        asked = {name: request.GET[name][:2000] for name in GroupForm.base_fields if name in request.GET}
        return _form_page(request, host, GroupForm(initial={"kind": "static", **asked}))
    form = GroupForm(request.POST)
    if form.is_valid():
        try:
            row = group_create(
                host=host, actor=actor_of(request), name=form.typed_name(), values=form.document_values()
            )
        except Invalid as error:
            form.place(error.errors)
        else:
            return _redirect_saved(request, host, row, "Added to the draft")
    return _form_page(request, host, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def group_edit(request: HttpRequest, host_name: str, name: str) -> HttpResponseBase:
    """Edit a group; a conflicting edit shows both versions and keeps what was typed."""
    host = host_or_404(host_name)
    if request.method != "POST":
        row = group_get(host, name)
        if row is None:
            messages.warning(request, f"The group @{name} is no longer in the draft.")
            return redirect("rules:group-list", host.name)
        group = group_document(row)
        initial = {**group_initial(group), "version": row.version}
        opened = opened_text(_compared(group_values(group)))
        return _form_page(request, host, GroupForm(initial=initial), name=name, opened=opened)
    form = GroupForm(request.POST)
    if not form.is_valid():
        return _form_page(request, host, form, name=name, status=422)
    try:
        row = group_update(
            host=host,
            actor=actor_of(request),
            name=name,
            version=form.cleaned_data["version"] or 0,
            new_name=form.typed_name(),
            values=form.document_values(),
        )
    except Invalid as error:
        form.place(error.errors)
        return _form_page(request, host, form, name=name, status=422)
    except Conflict as error:
        return _resolve_conflict(request, host, form, name, error)
    return _redirect_saved(request, host, row, "Saved to the draft")


@require_POST
def group_delete_view(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Delete a group from the draft; an applied one stays listed as removed until the next apply."""
    host = host_or_404(host_name)
    row = group_get(host, name)
    version = whole_number(request.POST.get("version"))
    try:
        group_delete(host=host, actor=actor_of(request), name=name, version=version)
    except Conflict as error:
        messages.warning(request, f"{error} Nothing was removed. The page shows the current draft.")
    except Invalid as error:
        messages.warning(request, f"Nothing was removed. {error} Remove it from these rules first.")
    else:
        assert row is not None
        _tell_removed(request, host, group_document(row))
    return redirect("rules:group-list", host.name)


@require_POST
def group_restore_view(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Undo a group's pending change: restore the applied group, or delete a new one."""
    host = host_or_404(host_name)
    try:
        row = group_restore(host=host, actor=actor_of(request), name=name)
    except (NotFound, Invalid) as error:
        messages.warning(request, str(error))
    else:
        done = "was restored to the applied version" if row else "was removed from the draft"
        messages.info(request, f"The group @{name} {done}.")
    return redirect("rules:group-list", host.name)


def _tell_removed(request: HttpRequest, host: Host, group: DocumentGroup) -> None:
    """Say that a group was removed, with a button that adds it again; the list has one if applied.

    The button carries the group, which must not be long.
    """
    base = base_document(host)
    applied = base is not None and any(each.name == group.name for each in base.groups)
    values = {} if applied or len(group.entries) > MOST_CARRIED else group_initial(group)
    context = {"host": host, "group": group, "values": values}
    messages.info(request, render_to_string("draft/group_removed.html", context, request))


def _redirect_saved(request: HttpRequest, host: Host, row: Group, what: str, kept: str = "") -> HttpResponse:
    group = group_document(row)
    size = f" with {describe_entries(len(group.entries))}" if group.kind == "static" else ""
    messages.info(request, f"{what}: @{group.name}{size}.{kept}")
    return redirect(f"{reverse('rules:group-list', args=[host.name])}#group-{group.name}")


def _resolve_conflict(
    request: HttpRequest, host: Host, form: GroupForm, name: str, error: Conflict
) -> HttpResponse:
    """Save both edits where no field was changed by both; else show them side by side."""
    theirs = error.current
    if not isinstance(theirs, Group):
        again = GroupForm({**request.POST.dict(), "version": ""})
        return _form_page(request, host, again, conflict=EditConflict(gone=True, lines=()), status=409)
    group = group_document(theirs)
    mine, stored = _canonical(form), group_values(group)
    merge = merge_edits(request, _compared(stored), _compared(mine))
    values = {**merge.values, "entries": _merged_entries(merge.values, stored, mine)}
    values = {key: value for key, value in values.items() if key in stored or key in mine}
    if not merge.both and stored["kind"] == mine["kind"]:
        try:
            row = group_update(
                host=host,
                actor=actor_of(request),
                name=name,
                version=theirs.version,
                new_name=str(values["name"]),
                values={key: value for key, value in values.items() if key != "name"},
            )
        except (Conflict, Invalid):
            # A third edit, or a group that only both edits together make wrong: the admin decides.
            pass
        else:
            kept = kept_words(group_pairs(values, mine))
            return _redirect_saved(request, host, row, "Saved to the draft", kept)
    data = merged_data(request, merge, group_initial(group), version=str(theirs.version))
    return _form_page(
        request,
        host,
        GroupForm(data),
        name=name,
        opened=opened_text(_compared(stored)),
        conflict=EditConflict(gone=False, lines=group_pairs(stored, values)),
        status=409,
    )


def _compared(values: Mapping[str, object]) -> dict[str, object]:
    """Return a group's values with the digest of a long list of entries in its place."""
    entries = values.get("entries")
    if not isinstance(entries, list) or len(entries) <= MOST_COMPARED:
        return dict(values)
    return {**values, "entries": hashlib.sha256("\n".join(entries).encode()).hexdigest()}


def _merged_entries(
    merged: Mapping[str, object], stored: Mapping[str, object], mine: Mapping[str, object]
) -> object:
    """Return the entries of the side that a merge took."""
    side = stored if merged.get("entries") == _compared(stored).get("entries") else mine
    return side.get("entries")


def _canonical(form: GroupForm) -> dict[str, object]:
    """Return the typed values as a document writes them, or as they are where they are not valid."""
    name, values = form.typed_name(), form.document_values()
    try:
        return group_values(group_validated(name, values))
    except Invalid:
        return {"name": name, **values}


def _form_page(
    request: HttpRequest,
    host: Host,
    form: GroupForm,
    *,
    name: str = "",
    opened: str = "",
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    action = (
        reverse("rules:group-edit", args=[host.name, name])
        if name
        else reverse("rules:group-new", args=[host.name])
    )
    row = group_row(host, name) if name else None
    context = {
        "form": form,
        "form_action": action,
        "heading": f"Edit group @{name}" if name else "New group",
        "edited": name,
        "conflict": conflict,
        "opened": opened or request.POST.get("opened", ""),
        "back": reverse("rules:group-list", args=[host.name]),
        "users": len(row.used_by) if row else 0,
        "submit_label": "Save mine" if conflict else "Save to the draft",
    }
    return render_page(request, "draft/group_form.html", host, context, section="groups", status=status)
