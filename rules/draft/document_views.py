"""Export of the draft, and import of a document, a save or the kernel's rules, with a preview."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dockerfw.chains.adoption import keep_from_draft
from dockerfw.chains.importing import Imported, SkippedLine, import_save
from dockerfw.document.adding import add_document, find_rules_in_both
from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.document.document import Document, canonical_json, load_document, to_json_object
from dockerfw.document.words import describe_count, describe_rule, is_or_are
from dockerfw.iptables.errors import DocumentError, ParseError
from dockerfw.reach.differences import Difference, find_differences
from rules.audit.actors import actor_of
from rules.draft.document_forms import ImportForm
from rules.draft.draft_selectors import draft_document
from rules.draft.draft_services import draft_replace, draft_undo
from rules.models import Host
from rules.pages.errors import Conflict, Invalid
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404

_MOST_DUPLICATES: Final = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that an import would make to the draft."""

    sentence: str
    diff: DocumentDiff
    notes: tuple[str, ...]
    skipped: tuple[SkippedLine, ...]
    packets: tuple[Difference, ...]
    document: str
    version: int


@dataclass(frozen=True, slots=True)
class Read:
    """An import that could be read, with notes on changed and skipped lines.

    `packets` are those that the document would treat in another way than the rules it comes from.
    """

    document: Document
    notes: tuple[str, ...]
    skipped: tuple[SkippedLine, ...] = ()
    packets: tuple[Difference, ...] = ()


@require_safe
def draft_export(request: HttpRequest, host_name: str) -> HttpResponse:
    """Send the draft as a file."""
    host = host_or_404(host_name)
    return document_file(draft_document(host), f"{host.name}-draft.json")


@require_http_methods(["GET", "HEAD", "POST"])
def draft_import(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show what an import would change; replace the draft once the admin confirms."""
    host = host_or_404(host_name)
    if request.method != "POST":
        return _page(request, host, ImportForm(initial={"version": host.draft_version}))
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, host, form, status=422)
    draft, adds = draft_document(host), form.cleaned_data["mode"] == "add"
    try:
        read = _read(form.cleaned_data["content"], draft)
        if adds:
            notes = (*read.notes, *_notes_of_duplicates(draft, read.document))
            read = replace(read, document=add_document(draft, read.document), notes=notes)
    except DocumentError as error:
        form.refuse(_errors_of(error))
    except ParseError as error:
        problem = "This is neither a dockerfw document nor iptables-save output."
        form.refuse((format_html("<span>{}<pre>{}</pre></span>", problem, str(error)),))
    else:
        if request.POST.get("confirmed") == "yes":
            return _replace(request, host, read, form.cleaned_data["version"])
        return import_preview(request, host, read, adds=adds)
    return _page(request, host, form, status=422)


def _errors_of(error: DocumentError) -> tuple[str, ...]:
    lines = (
        format_html("<span><code>{}</code>: {}</span>", each.path, each.message)
        if each.path
        else each.message
        for each in error.errors
    )
    return (f"The document has {describe_count(len(error.errors), 'error')}.", *lines)


def read_of_import(imported: Imported) -> Read:
    """Return imported rules as a read file."""
    packets = find_differences(imported.rulesets, imported.document)
    return Read(imported.document, tuple(str(note) for note in imported.notes), imported.skipped, packets)


def _read(content: str, draft: Document) -> Read:
    """Read JSON as a document, anything else as a save or restore file, which keeps what the draft says.

    Raises DocumentError, ParseError.
    """
    if content.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
        document = load_document(content.lstrip("\ufeff"))
        return Read(document, tuple(f"{note.path}: {note.message}" for note in document.notes))
    return read_of_import(keep_from_draft(import_save(content), draft))


def _notes_of_duplicates(draft: Document, added: Document) -> tuple[str, ...]:
    """Return a note for each rule that is not added, since the draft has it, and one for all beyond."""
    both = find_rules_in_both(draft, added)
    notes = [f"Already in the draft: {describe_rule(rule)}" for rule in both[:_MOST_DUPLICATES]]
    if len(both) > len(notes):
        more = len(both) - len(notes)
        notes.append(
            f"{describe_count(more, 'more rule')} of the file {is_or_are(more)} already in the draft"
        )
    return tuple(notes)


def _replace(request: HttpRequest, host: Host, read: Read, version: int) -> HttpResponse:
    try:
        draft_replace(host=host, actor=actor_of(request), document=read.document, version=version)
    except Conflict:
        messages.warning(
            request,
            "The draft changed after this page was opened. Nothing was imported. "
            "Review the current difference.",
        )
        return import_preview(request, host_or_404(host.name), read, status=409)
    except Invalid as error:
        messages.warning(request, str(error))
        return import_preview(request, host, read, status=422)
    count = len(read.document.rules)
    tell_replaced(
        request, host, f"The draft now has {describe_count(count, 'rule')}. Review them before you apply."
    )
    return redirect("rules:rule-list", host.name)


@require_POST
def draft_undo_view(request: HttpRequest, host_name: str) -> HttpResponse:
    """Restore the draft from before the last discard or import."""
    host = host_or_404(host_name)
    try:
        draft_undo(host=host, actor=actor_of(request))
    except Conflict as error:
        messages.warning(request, f"{error} Nothing was undone. The audit log has the previous draft.")
    else:
        messages.info(request, "Undone: the previous draft was restored.")
    return redirect("rules:rule-list", host.name)


def tell_replaced(request: HttpRequest, host: Host, text: str) -> None:
    """Say that the draft was replaced, with a button that restores the previous one."""
    context = {"host": host, "text": text}
    messages.info(request, render_to_string("draft/draft_replaced.html", context, request))


def import_preview(
    request: HttpRequest,
    host: Host,
    read: Read,
    *,
    status: int = 200,
    adopting: bool = False,
    adds: bool = False,
) -> HttpResponse:
    """Show what an import would change, with the form that confirms it."""
    diff = diff_documents(draft_document(host), read.document)
    sentence = diff.sentence if diff.count else "The draft already has the same content."
    preview = Preview(
        sentence=sentence,
        diff=diff,
        notes=read.notes,
        skipped=read.skipped,
        packets=read.packets,
        document=canonical_json(read.document),
        version=host.draft_version,
    )
    context = {"preview": preview, "adopting": adopting, "adds": adds}
    return render_page(request, "draft/import.html", host, context, section="settings", status=status)


def _page(
    request: HttpRequest,
    host: Host,
    form: ImportForm,
    *,
    status: int = 200,
) -> HttpResponse:
    return render_page(request, "draft/import.html", host, {"form": form}, section="settings", status=status)


def document_file(document: Document, name: str) -> HttpResponse:
    """Return a document as a download."""
    text = json.dumps(to_json_object(document), indent=2, ensure_ascii=False) + "\n"
    response = HttpResponse(text, content_type="application/json; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
