"""What a rule will do, who reaches its ports now, and warnings, while it is typed. They stop nothing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from dockerfw.document.document import DocumentRule
from dockerfw.document.rule_sentence import explain_rule
from rules.draft.covering_selectors import covering_rule
from rules.draft.draft_services import rule_validated
from rules.draft.rule_forms import RuleForm
from rules.draft.rule_reach_selectors import group_sizes, reach_now
from rules.draft.warning_selectors import warnings_of
from rules.models import Host
from rules.pages.errors import Invalid
from rules.pages.requests import host_or_404, text_asked
from rules.seen.snapshot_selectors import look, observe_request


@require_POST
def rule_warnings(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer what the typed rule will do, with warnings; a hint while it is not valid."""
    host = host_or_404(host_name)
    observe_request(host)
    context = {
        "host": host,
        **warning_context(host, read_typed_rule(host, RuleForm(request.POST), text_asked(request, "key"))),
    }
    response = render(request, "draft/rule_warnings.html", context)
    response["Cache-Control"] = "no-store"
    return response


def read_typed_rule(host: Host, form: RuleForm, key: str = "") -> DocumentRule | None:
    """Return the typed rule with the id of the edited one, None while it is not valid for the draft."""
    if not form.is_valid():
        return None
    try:
        return rule_validated({**form.document_values(), **({"id": key} if key else {})}, host)
    except Invalid:
        return None


def warning_context(host: Host, rule: DocumentRule | None) -> dict[str, object]:
    """Return the context of the template with the warnings."""
    if rule is None:
        return {"warnings": (), "covered_by": None, "explained": "", "reach": None}
    seen = look(host)
    found = warnings_of(host, [rule], seen.view, typed=True)
    return {
        "warnings": found.get(rule.id, ()),
        "covered_by": covering_rule(host, rule),
        "explained": explain_rule(rule, group_sizes(host, rule)),
        "reach": reach_now(host, rule, seen),
    }
