"""Write a draft as a whole: its settings, an import, a discard.

Every edit raises the draft's version in the same transaction. A lock serialises the edits of one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dockerfw.document.container_definitions import MOST_DEFINITIONS, check_definitions
from dockerfw.document.document import (
    MAX_RULES,
    Document,
    DocumentRule,
    Settings,
    digest,
    expectation_to_json_object,
    parse_document,
    rule_to_json_object,
    settings_to_json_object,
    to_json_object,
    validate_rule,
    validate_settings,
)
from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.fields import Problems
from dockerfw.document.groups import check_references
from dockerfw.document.rules import check_interfaces
from dockerfw.document.words import describe_what, join_words
from dockerfw.iptables.errors import DocumentError, FieldError
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import (
    GROUP_COLUMNS,
    base_document,
    draft_document,
    draft_replaced,
    expectation_document,
    rule_document,
    settings_mark,
    settings_values,
)
from rules.models import Expectation, Group, Host, Rule
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
        _check_rules_on_interfaces(current, checked)
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
    check_texts(_texts_of(document))
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


def draft_undo(*, host: Host, actor: Actor) -> Host:
    """Restore the draft that the last discard or import replaced. Raises Conflict after any other change."""
    with transaction.atomic():
        current = host_lock(host)
        event = draft_replaced(current)
        if event is None or digest(parse_document(event.after)) != digest(draft_document(current)):
            raise Conflict("The draft has changed since.", current=current)
        return draft_write(
            host=current, actor=actor, document=parse_document(event.before), verb="draft-restore"
        )


def draft_write(*, host: Host, actor: Actor, document: Document, verb: str, detail: str = "") -> Host:
    """Write a document over the draft of a locked host; unchanged rules keep their rows."""
    before = draft_document(host)
    if digest(before) == digest(document):
        return host
    if len(document.rules) > MAX_RULES:
        raise Invalid((FieldError("rules", f"{len(document.rules)} rules, at most {MAX_RULES} are allowed"),))
    _write_settings(host, document.settings)
    _write_groups(host, before, document)
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


def rule_validated(values: Mapping[str, object], host: Host | None = None) -> DocumentRule:
    """Return the rule that the values describe, which fits the groups and interfaces of the host's draft.

    Without a host only the rule itself is checked. Raises Invalid.
    """
    try:
        rule = validate_rule(dict(values))
    except DocumentError as error:
        raise Invalid(error.errors) from error
    if host is not None:
        problems = Problems()
        check_references([("", rule)], group_names(host), "sources", problems)
        check_interfaces([("", rule)], tuple(host.external_interfaces), problems)
        if problems.errors:
            raise Invalid(tuple(problems.errors))
    return rule


def check_bounds(host: Host) -> None:
    """Raise Invalid if the rules of a locked draft are more than a document may have, or need more sets."""
    rules = Rule.objects.filter(host=host)
    if rules.count() > MAX_RULES:
        raise Invalid((FieldError("", f"The draft already has {MAX_RULES} rules, the most allowed."),))
    named = rules.filter(enabled=True).exclude(container="")
    # A rule needs two sets at most.
    if 2 * named.count() > MOST_DEFINITIONS:
        problems = Problems()
        check_definitions((("", rule_document(row)) for row in named), problems)
        if problems.errors:
            raise Invalid(tuple(problems.errors))


def group_names(host: Host) -> tuple[DocumentGroup, ...]:
    """Return the groups of a draft by their names alone, to look references up."""
    return tuple(map(DocumentGroup, Group.objects.filter(host=host).values_list("name", flat=True)))


def rule_fields(rule: DocumentRule) -> dict[str, Any]:
    """Return a document rule as the columns of its row, without the key."""
    return values_fields(rule_to_json_object(rule))


def values_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a rule, as the audit log has them, as the columns of its row, without the key."""
    return {key: value for key, value in values.items() if key != "id"}


def first_version(host: Host) -> int:
    """Return the version of a new rule or group: no earlier one of that key or name has ever had it."""
    # Each change of one raises the draft's version as well.
    return host.draft_version + 1


def group_fields(group: DocumentGroup) -> dict[str, Any]:
    """Return a document's group as the columns of its row."""
    values = {name: getattr(group, name) for name in GROUP_COLUMNS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _check_rules_on_interfaces(host: Host, settings: Settings) -> None:
    """Raise Invalid if a rule of the draft names an interface that would no longer be an external one."""
    named = Rule.objects.filter(host=host).exclude(interface="")
    read = [(rule.key, rule_document(rule)) for rule in named]
    problems = Problems()
    check_interfaces(read, settings.external_interfaces, problems)
    if problems.errors:
        wrong = {error.path.partition(".")[0] for error in problems.errors}
        rules = [f"{rule.interface} ({describe_what(rule)})" for key, rule in read if key in wrong]
        message = f"rules for containers name {join_words(rules, most=3)}: change these rules first"
        raise Invalid((FieldError("external_interfaces", message),))


def _texts_of(document: Document) -> dict[str, str]:
    rules = {
        f"rules[{place}].{name}": text
        for place, rule in enumerate(document.rules)
        for name, text in (("comment", rule.comment), ("owner", rule.owner), ("ticket", rule.ticket))
    }
    expectations = {
        f"expectations[{place}].comment": each.comment for place, each in enumerate(document.expectations)
    }
    groups = {f"groups.{group.name}.comment": group.comment for group in document.groups}
    return rules | expectations | groups


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
    first = first_version(host)
    Rule.objects.bulk_create(
        [
            Rule(host=host, key=key, version=first, **rule_fields(rule))
            for key, rule in new.items()
            if key not in old
        ],
        batch_size=500,
    )
    for key, rule in new.items():
        if key in old and old[key] != rule:
            Rule.objects.filter(host=host, key=key).update(
                **rule_fields(rule), version=F("version") + 1, updated_at=timezone.now()
            )


def _write_groups(host: Host, before: Document, after: Document) -> None:
    old = {group.name: group for group in before.groups}
    new = {group.name: group for group in after.groups}
    Group.objects.filter(host=host, name__in=[name for name in old if name not in new]).delete()
    first = first_version(host)
    added = [
        Group(host=host, version=first, **group_fields(group))
        for name, group in new.items()
        if name not in old
    ]
    Group.objects.bulk_create(added, batch_size=100)
    for name, group in new.items():
        if name in old and old[name] != group:
            Group.objects.filter(host=host, name=name).update(
                **group_fields(group), version=F("version") + 1, updated_at=timezone.now()
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
