"""Change several rules of the table at once: enable, disable, delete, tag, set the expiry; and undo that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_POST

from dockerfw.document.words import describe_count
from rules.audit.actors import actor_of
from rules.draft.rule_bulk_services import BulkAction, BulkChange, rules_change, rules_undo
from rules.draft.rule_forms import read_moment
from rules.draft.rule_selectors import overtaken_rules, rule_rows
from rules.models import Host
from rules.pages.errors import Conflict, Invalid
from rules.pages.frame import render_page
from rules.pages.requests import back_asked, host_or_404, whole_number
from rules.seen.snapshot_selectors import latest_snapshot

# What the buttons of the table send, as the page of a conflict repeats it.
ACTIONS: Final = {
    "enable": "Enable {}",
    "disable": "Disable {}",
    "tag": "Add the tag to {}",
    "untag": "Remove the tag from {}",
    "expire": "Set the expiry of {}",
    "never": "Let {} never expire",
    "delete": "Delete {}",
}
_CHOSEN = re.compile(r"([a-z0-9]{4,12}):([0-9]{1,18})", re.ASCII)
# The last change of several rules in a session, which its Undo restores.
_UNDO: Final = "dockerfw-undo-rules"


@require_POST
def rule_bulk(request: HttpRequest, host_name: str) -> HttpResponse:
    """Change the chosen rules, or all that the search shows, all or none, and lead back to the table."""
    host = host_or_404(host_name)
    back = back_asked(request, reverse("rules:rule-list", args=[host.name]))
    action = request.POST.get("action", "")
    value = request.POST.get("until" if action == "expire" else "tag", "")[:200].strip()
    try:
        chosen = _all_shown(host, request.POST) if request.POST.get("all") else _ticked(request)
    except Conflict as error:
        return _conflict_page(request, host, str(error), back)
    if action not in ACTIONS or not chosen:
        messages.warning(request, "Select rules and what to do with them first.")
        return redirect(back)
    if action in ("tag", "untag", "expire") and not value:
        wanted = "a time, such as 7 days" if action == "expire" else "the tag"
        messages.warning(request, f"Enter {wanted}. Nothing was changed.")
        return redirect(back)
    try:
        change = rules_change(
            host=host,
            actor=actor_of(request),
            chosen=chosen,
            action=cast("BulkAction", "expire" if action == "never" else action),
            value={"expire": read_moment(value), "never": ""}.get(action, value),
        )
    except Conflict as error:
        return _conflict_page(request, host, str(error), back, chosen)
    except Invalid as error:
        messages.warning(request, f"{error} None of the rules was changed.")
    else:
        _tell_changed(request, host, change, back)
    return redirect(back)


@require_POST
def rule_bulk_undo(request: HttpRequest, host_name: str) -> HttpResponse:
    """Restore what was there before the last change of several rules in this session."""
    host = host_or_404(host_name)
    back = back_asked(request, reverse("rules:rule-list", args=[host.name]))
    stored = cast("Mapping[str, Any]", request.session.get(_UNDO) or {})
    change = BulkChange(**stored["change"]) if stored.get("host") == host.name else None
    if change is None or change.draft != whole_number(request.POST.get("draft")):
        messages.warning(request, "This change can no longer be undone here. Nothing was changed.")
        return redirect(back)
    try:
        rules_undo(host=host, actor=actor_of(request), change=change)
    except Conflict as error:
        messages.warning(request, f"{error} Nothing was undone. The audit log has the previous values.")
    else:
        del request.session[_UNDO]
        messages.info(request, f"Undone: {describe_count(change.count, 'rule')} restored in the draft.")
    return redirect(back)


def _ticked(request: HttpRequest) -> list[tuple[str, int]]:
    found = filter(None, map(_CHOSEN.fullmatch, request.POST.getlist("rule")))
    return [(each[1], int(each[2])) for each in found]


def _all_shown(host: Host, data: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return every rule that the search finds. Raises Conflict if these are not the ones the page counted."""
    rows = rule_rows(host, query=_query(data), snapshot=latest_snapshot(host))
    found = [(row.key, row.version) for row in rows if row.version]
    if whole_number(data.get("draft")) != host.draft_version:
        raise Conflict("The draft has changed since you opened the page.", current=host)
    if whole_number(data.get("all")) != len(found):
        # Hits, uses and times decide some searches.
        count = describe_count(len(found), "rule")
        raise Conflict(
            f"The search now finds {count}, not as many as when you opened the page.", current=host
        )
    return found


def _conflict_page(
    request: HttpRequest, host: Host, problem: str, back: str, chosen: Sequence[tuple[str, int]] = ()
) -> HttpResponse:
    """Show which of the chosen rules another edit changed, and offer the same change for them as they are."""
    host = host_or_404(host.name)
    rows = {row.key: row for row in rule_rows(host, query=_query(request.POST)) if row.version}
    keys = [key for key, _ in chosen] if chosen else list(rows)
    kept = [rows[key] for key in keys if key in rows]
    action = request.POST.get("action", "")
    context = {
        "problem": problem,
        "overtaken": overtaken_rules(host, chosen),
        "kept": kept if chosen else [],
        "query": _query(request.POST),
        "all": 0 if chosen else len(kept),
        "action": action,
        "button": ACTIONS.get(action, "Change {}").format(describe_count(len(kept), "rule")),
        "count": len(kept),
        "tag": request.POST.get("tag", "")[:200],
        "until": request.POST.get("until", "")[:200],
        "back": back,
    }
    return render_page(request, "draft/bulk_conflict.html", host, context, section="rules", status=409)


def _query(data: Mapping[str, str]) -> str:
    return data.get("q", "")[:200] if data.get("all") else ""


def _tell_changed(request: HttpRequest, host: Host, change: BulkChange, back: str) -> None:
    """Say what was changed, with a button that undoes it."""
    if change.count == 0:
        messages.info(request, "The selected rules were already like that. Nothing was changed.")
        return
    request.session[_UNDO] = {"host": host.name, "change": asdict(change)}
    context = {"host": host, "change": change, "back": back}
    messages.info(request, render_to_string("draft/rules_changed.html", context, request))
