"""Write a draft as a whole: its settings, an import, a discard.

Every edit raises the draft's version in the same transaction. A lock serialises the edits of one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dockerfw.document.document import (
    MAX_RULES,
    Document,
    DocumentRule,
    Settings,
    digest,
    expectation_to_json_object,
    rule_to_json_object,
    settings_to_json_object,
    to_json_object,
    validate_rule,
    validate_settings,
)
from dockerfw.iptables.errors import DocumentError, FieldError
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import (
    base_document,
    draft_document,
    expectation_document,
    settings_mark,
    settings_values,
)
from rules.models import Expectation, Host, Rule
from rules.pages.errors import Conflict, Invalid
from rules.pages.texts import check_texts


def settings_update(*, host: Host, actor: Actor, mark: str, values: Mapping[str, object]) -> Host:
    """Change the draft's settings if `settings_mark` is still `mark`. Raises Conflict, Invalid."""
    with transaction.atomic():
        current = host_lock(host)
        if settings_mark(current) != mark:
            raise Conflict("The settings have changed since you opened them.", current=current)
        before = settings_values(current)
        try:
            checked = validate_settings({**before, **values})
        except DocumentError as error:
            raise Invalid(error.errors) from error
        _write_settings(current, checked)
        after = settings_values(current)
        if after != before:
            draft_touch(current)
            audit_record(actor=actor, verb="settings-update", host=current, before=before, after=after)
        current.refresh_from_db()
        return current


def draft_replace(*, host: Host, actor: Actor, document: Document, version: int | None) -> Host:
    """Replace the draft by a document; `version` None replaces any version.

    Raises Conflict, Invalid.
    """
    check_texts(_comments_of(document))
    with transaction.atomic():
        current = host_lock(host)
        if version is not None:
            _same_draft(current, version)
        return draft_write(host=current, actor=actor, document=document, verb="draft-replace")


def draft_discard(*, host: Host, actor: Actor, version: int) -> Host:
    """Reset the draft to the base revision, or to an empty draft without one. Raises Conflict."""
    with transaction.atomic():
        current = host_lock(host)
        _same_draft(current, version)
        document = base_document(current) or Document()
        return draft_write(host=current, actor=actor, document=document, verb="draft-discard")


def draft_write(*, host: Host, actor: Actor, document: Document, verb: str, detail: str = "") -> Host:
    """Write a document over the draft of a locked host; unchanged rules keep their rows."""
    before = draft_document(host)
    if digest(before) == digest(document):
        return host
    if len(document.rules) > MAX_RULES:
        raise Invalid((FieldError("rules", f"{len(document.rules)} rules, at most {MAX_RULES} are allowed"),))
    _write_settings(host, document.settings)
    _write_rules(host, before, document)
    _write_expectations(host, document)
    draft_touch(host)
    audit_record(
        actor=actor,
        verb=verb,
        host=host,
        before=to_json_object(before),
        after=to_json_object(document),
        detail=detail,
    )
    host.refresh_from_db()
    return host


def host_lock(host: Host) -> Host:
    """Lock the host's row until the transaction ends, and return it."""
    # SQLite takes its write lock when the transaction begins and ignores FOR UPDATE.
    return Host.objects.select_for_update().get(pk=host.pk)


def draft_touch(host: Host) -> None:
    """Raise the draft's version by one."""
    Host.objects.filter(pk=host.pk).update(draft_version=F("draft_version") + 1)


def rule_validated(values: Mapping[str, object]) -> DocumentRule:
    """Return the rule that the values describe. Raises Invalid."""
    try:
        return validate_rule(dict(values))
    except DocumentError as error:
        raise Invalid(error.errors) from error


def rule_fields(rule: DocumentRule) -> dict[str, Any]:
    """Return a document rule as the columns of its row, without the key."""
    return {key: value for key, value in rule_to_json_object(rule).items() if key != "id"}


def _comments_of(document: Document) -> dict[str, str]:
    rules = {f"rules[{place}].comment": rule.comment for place, rule in enumerate(document.rules)}
    expectations = {
        f"expectations[{place}].comment": each.comment for place, each in enumerate(document.expectations)
    }
    return rules | expectations


def _same_draft(host: Host, version: int) -> None:
    if host.draft_version != version:
        raise Conflict("The draft has changed since you opened it.", current=host)


def _write_settings(host: Host, settings: Settings) -> None:
    values = settings_to_json_object(settings)
    for name, value in values.items():
        setattr(host, name, value)
    host.save(update_fields=list(values))


def _write_rules(host: Host, before: Document, after: Document) -> None:
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    gone = [key for key in old if key not in new]
    for start in range(0, len(gone), 500):
        Rule.objects.filter(host=host, key__in=gone[start : start + 500]).delete()
    Rule.objects.bulk_create(
        [Rule(host=host, key=rule.id, **rule_fields(rule)) for key, rule in new.items() if key not in old],
        batch_size=500,
    )
    for key, rule in new.items():
        if key in old and old[key] != rule:
            Rule.objects.filter(host=host, key=key).update(
                **rule_fields(rule), version=F("version") + 1, updated_at=timezone.now()
            )


def _write_expectations(host: Host, after: Document) -> None:
    stored = {expectation_document(row): row.pk for row in Expectation.objects.filter(host=host)}
    gone = [key for expectation, key in stored.items() if expectation not in after.expectations]
    Expectation.objects.filter(host=host, pk__in=gone).delete()
    Expectation.objects.bulk_create(
        Expectation(host=host, **expectation_to_json_object(expectation))
        for expectation in after.expectations
        if expectation not in stored
    )
