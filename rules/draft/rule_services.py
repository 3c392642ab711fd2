"""Write single rules of a draft, one audited transaction each. Several at once: rule_bulk_services.py.

An update names the version that it changes. A second update of the same version raises Conflict with the
stored row. The draft's own version rises with every edit.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dockerfw.document.document import DocumentRule, rule_to_json_object
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import base_rules, rule_values
from rules.draft.draft_services import (
    check_bounds,
    draft_touch,
    first_version,
    host_lock,
    rule_fields,
    rule_validated,
)
from rules.draft.rule_selectors import rule_removed
from rules.models import Host, Rule
from rules.pages.errors import Conflict, NotFound
from rules.pages.texts import check_texts

KEY_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
KEY_LENGTH = 6


def rule_create(*, host: Host, actor: Actor, values: Mapping[str, object]) -> Rule:
    """Add a rule to the draft; `values` has a document rule's keys. Raises Invalid."""
    check_texts(_texts_of(values))
    with transaction.atomic():
        host = host_lock(host)
        key = _new_key(host)
        checked = rule_validated({**values, "id": key}, host)
        return _insert(host, actor, checked, verb="rule-create")


def rule_update(*, host: Host, actor: Actor, key: str, version: int, values: Mapping[str, object]) -> Rule:
    """Change a rule that is at `version`; missing keys keep their value.

    Raises Invalid, and Conflict, whose current is None for a removed rule.
    """
    check_texts(_texts_of(values))
    with transaction.atomic():
        host = host_lock(host)
        rule = _get(host, key)
        _same_version(rule, version)
        return _write(host, actor, rule, {**rule_values(rule), **values, "id": key}, verb="rule-update")


def rule_set_enabled(*, host: Host, actor: Actor, key: str, version: int, enabled: bool) -> Rule:
    """Enable or disable a rule that is at `version`. Raises Conflict."""
    with transaction.atomic():
        host = host_lock(host)
        rule = _get(host, key)
        _same_version(rule, version)
        verb = "rule-enable" if enabled else "rule-disable"
        return _write(host, actor, rule, {**rule_values(rule), "enabled": enabled}, verb=verb)


def rule_delete(*, host: Host, actor: Actor, key: str, version: int) -> None:
    """Remove a rule that is at `version` from the draft. Raises Conflict."""
    with transaction.atomic():
        host = host_lock(host)
        rule = _get(host, key)
        _same_version(rule, version)
        _remove(host, actor, rule, verb="rule-delete")


def rule_restore(*, host: Host, actor: Actor, key: str) -> Rule | None:
    """Undo a rule's pending change: restore the base revision's rule, or delete a new one (None).

    Raises NotFound, and Invalid where the draft no longer has a group that the applied rule names.
    """
    with transaction.atomic():
        host = host_lock(host)
        base = base_rules(host).get(key)
        rule = Rule.objects.filter(host=host, key=key).first()
        if base is None and rule is None:
            raise NotFound(f"There is no rule {key} in the draft or in the last confirmed revision.")
        if base is None:
            assert rule is not None
            _remove(host, actor, rule, verb="rule-restore")
            return None
        if rule is None:
            checked = rule_validated(rule_to_json_object(base), host)
            return _insert(host, actor, checked, verb="rule-restore", again=True)
        return _write(host, actor, rule, rule_to_json_object(base), verb="rule-restore")


def rule_undelete(*, host: Host, actor: Actor, key: str) -> Rule:
    """Add a removed rule to the draft again as it was, from the audit log.

    Raises NotFound where none was removed, Conflict where the draft has a rule with this key, and Invalid.
    """
    with transaction.atomic():
        host = host_lock(host)
        present = Rule.objects.filter(host=host, key=key).first()
        if present is not None:
            raise Conflict("The draft already has this rule.", current=present)
        removed = rule_removed(host, key)
        if removed is None:
            raise NotFound(f"No rule {key} was removed from the draft.")
        checked = rule_validated({**removed, "id": key}, host)
        return _insert(host, actor, checked, verb="rule-undelete", again=True)


def _texts_of(values: Mapping[str, object]) -> dict[str, str]:
    """Return what a person typed. Rules that are stored may hold comments from before the check."""
    texts = {name: values.get(name) for name in ("comment", "owner", "ticket")}
    return {name: text.strip() for name, text in texts.items() if isinstance(text, str)}


def _insert(host: Host, actor: Actor, checked: DocumentRule, *, verb: str, again: bool = False) -> Rule:
    # A removed rule of this key may be in an open form, which must not pass for the form of this one.
    version = first_version(host) if again else 1
    rule = Rule.objects.create(host=host, key=checked.id, version=version, **rule_fields(checked))
    check_bounds(host)
    draft_touch(host)
    audit_record(actor=actor, verb=verb, host=host, target=rule.key, after=rule_values(rule))
    return rule


def _write(host: Host, actor: Actor, rule: Rule, values: Mapping[str, object], *, verb: str) -> Rule:
    checked = rule_validated(values, host)
    before = rule_values(rule)
    if rule_to_json_object(checked) == before:
        return rule
    changed = Rule.objects.filter(pk=rule.pk, version=rule.version).update(
        **rule_fields(checked), version=F("version") + 1, updated_at=timezone.now()
    )
    if not changed:
        raise _conflict(Rule.objects.filter(pk=rule.pk).first())
    rule.refresh_from_db()
    if rule.enabled:
        check_bounds(host)
    draft_touch(host)
    after = rule_values(rule)
    audit_record(actor=actor, verb=verb, host=host, target=rule.key, before=before, after=after)
    return rule


def _remove(host: Host, actor: Actor, rule: Rule, *, verb: str) -> None:
    deleted, _ = Rule.objects.filter(pk=rule.pk, version=rule.version).delete()
    if not deleted:
        raise _conflict(Rule.objects.filter(pk=rule.pk).first())
    draft_touch(host)
    audit_record(actor=actor, verb=verb, host=host, target=rule.key, before=rule_values(rule))


def _get(host: Host, key: str) -> Rule:
    rule = Rule.objects.filter(host=host, key=key).first()
    if rule is None:
        raise Conflict("This rule has been removed since you opened it.", current=None)
    return rule


def _same_version(rule: Rule, version: int) -> None:
    if rule.version != version:
        raise _conflict(rule)


def _conflict(current: Rule | None) -> Conflict:
    if current is None:
        return Conflict("This rule has been removed since you opened it.", current=None)
    return Conflict("This rule has changed since you opened it.", current=current)


def _new_key(host: Host) -> str:
    taken = set(Rule.objects.filter(host=host).values_list("key", flat=True)) | set(base_rules(host))
    while True:
        key = "".join(secrets.choice(KEY_LETTERS) for _ in range(KEY_LENGTH))
        if key not in taken:
            return key
