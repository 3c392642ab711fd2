"""Edits in the table of rules: enable, disable, delete, undo. rule-table.js replaces only the row.

Without scripts each is a form that leads back to the table.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_rule
from rules.audit.actors import actor_of
from rules.draft.covering_selectors import covering_rule
from rules.draft.draft_selectors import rule_document
from rules.draft.rule_count_selectors import rule_counts
from rules.draft.rule_list_views import place_part
from rules.draft.rule_selectors import RuleRow, drafted_rules, rule_get
from rules.draft.rule_services import rule_delete, rule_restore, rule_set_enabled, rule_undelete
from rules.draft.warning_selectors import warnings_of
from rules.models import Host
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.pages.frame import render_pieces
from rules.pages.requests import HtmxRequest, back_asked, host_or_404, whole_number
from rules.seen.snapshot_selectors import latest_snapshot


@require_POST
def rule_toggle(request: HtmxRequest, host_name: str, key: str) -> HttpResponse:
    """Enable or disable a rule of the draft."""
    host = host_or_404(host_name)
    enabled = "on" in request.POST
    version = whole_number(request.POST.get("on" if enabled else "off"))
    try:
        rule_set_enabled(host=host, actor=actor_of(request), key=key, version=version, enabled=enabled)
    except (Conflict, NotFound, Invalid) as error:
        messages.warning(request, f"{error} Nothing was changed. The table shows the current draft.")
    return _answer(request, host, key)


@require_POST
def rule_delete_view(request: HtmxRequest, host_name: str, key: str) -> HttpResponse:
    """Delete a rule from the draft; an applied one stays in the table as removed until the next apply."""
    host = host_or_404(host_name)
    rule = rule_get(host, key)
    try:
        rule_delete(
            host=host, actor=actor_of(request), key=key, version=whole_number(request.POST.get("version"))
        )
    except (Conflict, NotFound) as error:
        messages.warning(request, f"{error} Nothing was removed. The table shows the current draft.")
    else:
        if rule is not None:
            _tell_removed(request, host, rule_document(rule))
    return _answer(request, host, key)


@require_POST
def rule_restore_view(request: HtmxRequest, host_name: str, key: str) -> HttpResponse:
    """Undo a rule's pending change: restore the applied rule, or delete a new one."""
    host = host_or_404(host_name)
    before = rule_get(host, key)
    try:
        rule = rule_restore(host=host, actor=actor_of(request), key=key)
    except (Conflict, NotFound, Invalid) as error:
        messages.warning(request, str(error))
    else:
        if rule is None and before is not None:
            _tell_removed(request, host, rule_document(before))
        else:
            messages.info(request, "The rule was restored to the applied version.")
    return _answer(request, host, key)


@require_POST
def rule_undelete_view(request: HtmxRequest, host_name: str, key: str) -> HttpResponse:
    """Undo the deletion of a rule: add it to the draft again as it was."""
    host = host_or_404(host_name)
    try:
        rule = rule_undelete(host=host, actor=actor_of(request), key=key)
    except (Conflict, NotFound, Invalid) as error:
        messages.warning(request, str(error))
    else:
        messages.info(request, f"Added to the draft again: {describe_rule(rule_document(rule))}.")
    return _answer(request, host, key)


def _tell_removed(request: HtmxRequest, host: Host, rule: DocumentRule) -> None:
    """Say that a rule was removed, with a button that adds it again."""
    back = back_asked(request, reverse("rules:rule-list", args=[host.name]))
    context = {"host": host, "rule": rule, "back": back}
    messages.info(request, render_to_string("draft/rule_removed.html", context, request))


def _answer(request: HtmxRequest, host: Host, key: str) -> HttpResponse:
    back = back_asked(request, reverse("rules:rule-list", args=[host.name]))
    if not request.htmx:
        return redirect(f"{back}#rule-{key}")
    host = host_or_404(host.name)
    row = _row(host, key)
    if row is None:
        shown = format_html('<tr id="rule-{}" hx-swap-oob="delete"></tr>', key)
    else:
        context = {
            "host": host,
            "row": row,
            "covered": _covered(host, row),
            "warnings": {} if row.mark == "removed" else warnings_of(host, [row.rule], latest_snapshot(host)),
            "swapped": True,
            "place": place_part(back),
        }
        shown = render_to_string("draft/rule_row.html", context, request)
    # Beside a table row the HTML parser would drop the forms of the other pieces, such as Undo in a message.
    pieces = render_pieces(request, host, section="rules")
    return HttpResponse(f"{pieces}<template>{shown.strip()}</template>")


def _covered(host: Host, row: RuleRow) -> dict[str, DocumentRule]:
    wide = None if row.mark == "removed" else covering_rule(host, row.rule)
    return {row.key: wide} if wide is not None else {}


def _row(host: Host, key: str) -> RuleRow | None:
    counts = rule_counts(host, latest_snapshot(host))
    found = (each for each in drafted_rules(host) if each.rule.id == key)
    return next((RuleRow(each, counts.of_rule(key)) for each in found), None)
