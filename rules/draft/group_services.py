"""Write the groups of a draft, one audited transaction each.

An update names the version that it changes. A second update of the same version raises Conflict with the
stored row. A group that rules name is renamed in these rules too, and cannot be removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, Model
from django.utils import timezone

from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.groups import MAX_ENTRIES, MAX_GROUPS, group_to_json_object, validate_group
from dockerfw.document.rule_fields import source_order
from dockerfw.document.words import describe_count
from dockerfw.iptables.errors import DocumentError, FieldError
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import base_document, group_document
from rules.draft.draft_services import draft_touch, first_version, group_fields, host_lock
from rules.draft.group_selectors import describe_users, rules_with_group
from rules.models import Group, Host, Rule
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.pages.texts import check_texts

GONE = "This group has been removed or renamed since you opened it."
# The audit log keeps the first entries of a group; revisions keep all.
MOST_AUDITED = 1_000


def group_create(*, host: Host, actor: Actor, name: str, values: Mapping[str, object]) -> Group:
    """Add a group to the draft; `values` has the keys of a document's group. Raises Invalid."""
    with transaction.atomic():
        host = host_lock(host)
        checked = group_validated(name, values)
        if Group.objects.filter(host=host).count() >= MAX_GROUPS:
            raise Invalid((FieldError("", f"The draft already has {MAX_GROUPS} groups, the most allowed."),))
        _check_name(host, checked.name)
        _check_entries(host, checked)
        return _insert(host, actor, checked, verb="group-create")


def group_update(
    *, host: Host, actor: Actor, name: str, version: int, new_name: str, values: Mapping[str, object]
) -> Group:
    """Change a group that is at `version`, and its name in all rules of the draft.

    `values` has every key of the group's kind. Raises Invalid, and Conflict, whose current is None for a
    removed or renamed group.
    """
    with transaction.atomic():
        host = host_lock(host)
        row = _get(host, name, version)
        checked = group_validated(new_name, values)
        if checked.name != name:
            _check_name(host, checked.name)
        _check_entries(host, checked, but=name)
        return _write(host, actor, row, checked, verb="group-update")


def group_delete(*, host: Host, actor: Actor, name: str, version: int) -> None:
    """Remove a group that is at `version` from the draft. Raises Conflict, and Invalid if rules name it."""
    with transaction.atomic():
        host = host_lock(host)
        _remove(host, actor, _get(host, name, version), verb="group-delete")


def group_restore(*, host: Host, actor: Actor, name: str) -> Group | None:
    """Undo a group's pending change: restore the base revision's group, or delete a new one (None).

    Raises NotFound, and Invalid for a new group that rules name.
    """
    with transaction.atomic():
        host = host_lock(host)
        base = base_document(host)
        applied = next((each for each in (base.groups if base else ()) if each.name == name), None)
        row = Group.objects.filter(host=host, name=name).first()
        if applied is None and row is None:
            raise NotFound(f"There is no group @{name} in the draft or in the last confirmed revision.")
        if applied is None:
            assert row is not None
            _remove(host, actor, row, verb="group-restore")
            return None
        _check_entries(host, applied, but=name)
        if row is None:
            return _insert(host, actor, applied, verb="group-restore")
        return _write(host, actor, row, applied, verb="group-restore")


def group_validated(name: str, values: Mapping[str, object]) -> DocumentGroup:
    """Return the group that a name and values describe. Raises Invalid."""
    try:
        group = validate_group(name, dict(values))
    except DocumentError as error:
        raise Invalid(
            tuple(FieldError(each.path or "name", each.message) for each in error.errors)
        ) from error
    check_texts({"comment": group.comment})
    return group


def group_values(group: DocumentGroup) -> dict[str, Any]:
    """Return a group's name and values, as the form and the audit log have them."""
    return {"name": group.name, **group_to_json_object(group)}


def _check_name(host: Host, name: str) -> None:
    if Group.objects.filter(host=host, name=name).exists():
        raise Invalid((FieldError("name", f"The draft already has a group @{name}."),))


def _check_entries(host: Host, group: DocumentGroup, *, but: str = "") -> None:
    others = Group.objects.filter(host=host, kind="static").exclude(name=but)
    total = len(group.entries) + sum(map(len, others.values_list("entries", flat=True)))
    if total > MAX_ENTRIES:
        message = f"All groups together would have {total} entries. At most {MAX_ENTRIES} are allowed."
        raise Invalid((FieldError("entries", message),))


def _insert(host: Host, actor: Actor, group: DocumentGroup, *, verb: str) -> Group:
    row = Group.objects.create(host=host, version=first_version(host), **group_fields(group))
    draft_touch(host)
    audit_record(actor=actor, verb=verb, host=host, target=str(row), after=_audited(group_values(group)))
    return row


def _write(host: Host, actor: Actor, row: Group, checked: DocumentGroup, *, verb: str) -> Group:
    old = group_document(row)
    if checked == old:
        return row
    renamed = _rename_in_rules(host, old.name, checked.name) if checked.name != old.name else 0
    _update(row, group_fields(checked))
    row.refresh_from_db()
    draft_touch(host)
    before, after = _changes(old, checked)
    detail = f"Renamed in {describe_count(renamed, 'rule')}." if renamed else ""
    audit_record(
        actor=actor, verb=verb, host=host, target=f"@{old.name}", before=before, after=after, detail=detail
    )
    return row


def _remove(host: Host, actor: Actor, row: Group, *, verb: str) -> None:
    users = tuple(rules_with_group(host, row.name))
    if users:
        raise Invalid((FieldError("", f"@{row.name} is a source of {describe_users(users)}."),))
    before = _audited(group_values(group_document(row)))
    audit_record(actor=actor, verb=verb, host=host, target=str(row), before=before)
    row.delete()
    draft_touch(host)


def _rename_in_rules(host: Host, old: str, new: str) -> int:
    """Replace the group's name in every rule of the draft; return how many rules have it."""
    count = 0
    for rule in Rule.objects.filter(host=host).only("pk", "sources"):
        if f"@{old}" in rule.sources:
            sources = (f"@{new}" if source == f"@{old}" else source for source in rule.sources)
            _update(rule, {"sources": sorted(sources, key=source_order)})
            count += 1
    return count


def _update(row: Model, fields: Mapping[str, Any]) -> None:
    """Write columns of a rule or a group of the locked host, and raise its version."""
    rows = type(row)._default_manager.filter(pk=row.pk)
    rows.update(**fields, version=F("version") + 1, updated_at=timezone.now())


def _get(host: Host, name: str, version: int) -> Group:
    row = Group.objects.filter(host=host, name=name).first()
    if row is None:
        raise Conflict(GONE, current=None)
    if row.version != version:
        raise Conflict("This group has changed since you opened it.", current=row)
    return row


def _changes(old: DocumentGroup, new: DocumentGroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the audit log keeps of a change: all values, of long lists only what differs."""
    before, after = group_values(old), group_values(new)
    if max(len(old.entries), len(new.entries)) > MOST_AUDITED:
        before["entries"] = sorted(set(old.entries) - set(new.entries), key=source_order)
        after["entries"] = sorted(set(new.entries) - set(old.entries), key=source_order)
        before["entry_count"], after["entry_count"] = len(old.entries), len(new.entries)
    return _audited(before), _audited(after)


def _audited(values: dict[str, Any]) -> dict[str, Any]:
    entries = values.get("entries", [])
    if len(entries) <= MOST_AUDITED:
        return values
    return {"entry_count": len(entries), **values, "entries": entries[:MOST_AUDITED]}
