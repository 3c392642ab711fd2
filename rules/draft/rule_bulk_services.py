"""Change several rules of a draft in one transaction, and undo that as long as nothing else has changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.utils import timezone

from dockerfw.document.document import rule_to_json_object
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record_each
from rules.draft.draft_selectors import rule_values
from rules.draft.draft_services import (
    check_bounds,
    draft_touch,
    first_version,
    host_lock,
    rule_validated,
    values_fields,
)
from rules.models import AuditEvent, Host, Rule
from rules.pages.errors import Conflict

BulkAction = Literal["enable", "disable", "delete", "tag", "untag", "expire"]
# The one field that each action changes, and what the audit log calls that.
_FIELDS: Final = {
    "enable": "enabled",
    "disable": "enabled",
    "tag": "tags",
    "untag": "tags",
    "expire": "expires",
}
_VERBS: Final[Mapping[BulkAction, str]] = {
    "enable": "rule-enable",
    "disable": "rule-disable",
    "delete": "rule-delete",
    "tag": "rule-update",
    "untag": "rule-update",
    "expire": "rule-update",
}
_BATCH: Final = 500
# A rule's key, and its values before and after.
_Change = tuple[str, dict[str, Any], dict[str, Any] | None]

GONE: Final = "A selected rule has been removed since you opened this page."
CHANGED: Final = "A selected rule has changed since you opened this page."
OVERTAKEN: Final = "The draft has changed since."


@dataclass(frozen=True, slots=True)
class BulkChange:
    """What a change of several rules did, as far as undoing it needs to know.

    `draft` is the draft's version afterwards. The host's events of the audit log from `first` to `last` have
    what was there; `places` are the keys of the rows that removed rules had, in the order of these events.
    """

    action: BulkAction
    count: int
    draft: int
    first: int
    last: int
    places: Sequence[int] = ()


def rules_change(
    *, host: Host, actor: Actor, chosen: Iterable[tuple[str, int]], action: BulkAction, value: str = ""
) -> BulkChange:
    """Change several rules, given as key and version, in one transaction.

    `value` is the tag for "tag" and "untag", and the time for "expire", empty for never. Raises Conflict and
    Invalid, and then changes none.
    """
    with transaction.atomic():
        host = host_lock(host)
        rules = _chosen_rules(host, chosen)
        first = _last_event(host) + 1
        places: tuple[int, ...] = ()
        changes: list[_Change]
        if action == "delete":
            changes = [(rule.key, rule_values(rule), None) for rule in rules]
            places = tuple(rule.pk for rule in rules)
            for batch in _batches(places):
                Rule.objects.filter(pk__in=batch).delete()
        else:
            changes = _set(host, rules, action, value)
        if changes:
            audit_record_each(actor=actor, verb=_VERBS[action], host=host, changes=changes)
            draft_touch(host)
        if action == "enable":
            check_bounds(host)
        host.refresh_from_db()
        return BulkChange(action, len(changes), host.draft_version, first, _last_event(host), places)


def rules_undo(*, host: Host, actor: Actor, change: BulkChange) -> None:
    """Restore what was there before a change of several rules. Raises Conflict after any other edit."""
    with transaction.atomic():
        host = host_lock(host)
        if host.draft_version != change.draft:
            raise Conflict(OVERTAKEN, current=host)
        found = AuditEvent.objects.filter(host=host, verb=_VERBS[change.action])
        events = list(found.filter(pk__range=(change.first, change.last)).order_by("pk"))
        if len(events) != change.count:
            raise Conflict(OVERTAKEN, current=host)
        if change.action == "delete":
            version = first_version(host)
            Rule.objects.bulk_create(
                (
                    Rule(
                        pk=place, host=host, key=event.target, version=version, **values_fields(event.before)
                    )
                    for place, event in zip(change.places, events, strict=True)
                ),
                batch_size=_BATCH,
            )
        else:
            field = _FIELDS[change.action]
            _write(host, field, ((event.target, event.before[field]) for event in events))
        audit_record_each(
            actor=actor,
            verb="rule-undelete" if change.action == "delete" else "rule-restore",
            host=host,
            changes=[(event.target, event.after, event.before) for event in events],
        )
        draft_touch(host)


def _chosen_rules(host: Host, chosen: Iterable[tuple[str, int]]) -> list[Rule]:
    """Return the rows of these rules in the order of the table. Raises Conflict for others."""
    versions = dict(chosen)
    rules = [rule for rule in Rule.objects.filter(host=host) if rule.key in versions]
    if len(rules) != len(versions):
        raise Conflict(GONE, current=None)
    for rule in rules:
        if rule.version != versions[rule.key]:
            raise Conflict(CHANGED, current=rule)
    return rules


def _set(host: Host, rules: Sequence[Rule], action: BulkAction, value: str) -> list[_Change]:
    """Change the field of an action in each rule, and return the changes for the audit log."""
    field = _FIELDS[action]
    changes: list[_Change] = []
    for rule in rules:
        before = rule_values(rule)
        # Groups and interfaces stay as they are: only the rule itself is checked.
        checked = rule_to_json_object(rule_validated({**before, **_change(before, action, value)}))
        if checked[field] != before[field]:
            changes.append((rule.key, before, {**before, field: checked[field]}))
    _write(host, field, ((key, after[field]) for key, _, after in changes if after))
    return changes


def _write(host: Host, field: str, values: Iterable[tuple[str, Any]]) -> None:
    """Write a field of rules by key, one statement for many rules that get the same value."""
    keys: dict[str, list[str]] = defaultdict(list)
    for key, value in values:
        keys[json.dumps(value)].append(key)
    for text, same in keys.items():
        for batch in _batches(same):
            Rule.objects.filter(host=host, key__in=batch).update(
                **{field: json.loads(text)}, version=F("version") + 1, updated_at=timezone.now()
            )


def _change(values: Mapping[str, Any], action: BulkAction, value: str) -> dict[str, object]:
    if action in ("enable", "disable"):
        return {"enabled": action == "enable"}
    if action == "expire":
        return {"expires": value}
    others = [tag for tag in values["tags"] if tag != value.strip().lower()]
    return {"tags": [*others, value] if action == "tag" else others}


def _batches(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))


def _last_event(host: Host) -> int:
    events: QuerySet[AuditEvent] = AuditEvent.objects.filter(host=host)
    return int(events.aggregate(last=Max("pk"))["last"] or 0)
