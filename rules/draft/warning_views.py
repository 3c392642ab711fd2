"""Warnings about a rule while it is typed, beside the form. They stop nothing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from dockerfw.document.document import DocumentRule, validate_rule
from dockerfw.iptables.errors import DocumentError
from rules.draft.covering_selectors import covering_rule
from rules.draft.rule_forms import RuleForm
from rules.draft.warning_selectors import warnings_of
from rules.models import Host
from rules.pages.requests import host_or_404, text_asked
from rules.seen.snapshot_selectors import latest_snapshot


@require_POST
def rule_warnings(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer the warnings about the typed rule; nothing while it is not valid."""
    host = host_or_404(host_name)
    context = {
        "host": host,
        **warning_context(host, read_typed_rule(RuleForm(request.POST), text_asked(request, "key"))),
    }
    response = render(request, "draft/rule_warnings.html", context)
    response["Cache-Control"] = "no-store"
    return response


def read_typed_rule(form: RuleForm, key: str = "") -> DocumentRule | None:
    """Return the typed rule with the id of the edited one, None while it is not valid."""
    if not form.is_valid():
        return None
    try:
        return validate_rule({**form.document_values(), **({"id": key} if key else {})})
    except DocumentError:
        return None


def warning_context(host: Host, rule: DocumentRule | None) -> dict[str, object]:
    """Return the context of the template with the warnings."""
    if rule is None:
        return {"warnings": (), "covered_by": None}
    found = warnings_of([rule], latest_snapshot(host))
    return {"warnings": found.get(rule.id, ()), "covered_by": covering_rule(host, rule)}
