"""Write the expectations of a draft, one audited transaction each.

Owns their optimistic locking, which is that of rules: an update names the version it saw, and whoever comes
second is told with what is stored now. Whether an expectation holds is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dockerfw.document.document import Expectation as DocumentExpectation
from dockerfw.document.document import expectation_to_json_object, validate_expectation
from dockerfw.document.expectations import MAX_EXPECTATIONS
from dockerfw.document.words import describe_expectation
from dockerfw.iptables.errors import DocumentError, FieldError
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import expectation_document, expectation_values
from rules.draft.draft_services import draft_touch, host_lock
from rules.models import Expectation, Host
from rules.pages.errors import Conflict, Invalid

GONE = "Somebody removed this expectation meanwhile."


def expectation_create(*, host: Host, actor: Actor, values: Mapping[str, object]) -> Expectation:
    """Add an expectation to the draft; `values` has a document expectation's keys. Raises Invalid."""
    with transaction.atomic():
        host_lock(host)
        checked = _checked(values)
        if Expectation.objects.filter(host=host).count() >= MAX_EXPECTATIONS:
            full = f"There are {MAX_EXPECTATIONS} expectations, and no more are kept."
            raise Invalid((FieldError("", full),))
        _only_once(host, checked)
        row = Expectation.objects.create(host=host, **expectation_to_json_object(checked))
        draft_touch(host)
        _audit(host, actor, "expectation-create", row, after=expectation_values(row))
        return row


def expectation_update(
    *, host: Host, actor: Actor, key: int, version: int, values: Mapping[str, object]
) -> Expectation:
    """Change an expectation that is at `version`; keys left out keep their value.

    Raises Invalid, and Conflict, with current None for one that is gone.
    """
    with transaction.atomic():
        host_lock(host)
        row = _get(host, key, version)
        before = expectation_values(row)
        checked = _checked({**before, **values})
        after = expectation_to_json_object(checked)
        if after == before:
            return row
        _only_once(host, checked)
        Expectation.objects.filter(pk=row.pk).update(
            **after, version=F("version") + 1, updated_at=timezone.now()
        )
        row.refresh_from_db()
        draft_touch(host)
        _audit(host, actor, "expectation-update", row, before=before, after=after)
        return row


def expectation_delete(*, host: Host, actor: Actor, key: int, version: int) -> None:
    """Remove an expectation that is at `version` from the draft. Raises Conflict."""
    with transaction.atomic():
        host_lock(host)
        row = _get(host, key, version)
        before = expectation_values(row)
        _audit(host, actor, "expectation-delete", row, before=before)
        row.delete()
        draft_touch(host)


def _checked(values: Mapping[str, object]) -> DocumentExpectation:
    try:
        return validate_expectation(dict(values))
    except DocumentError as error:
        raise Invalid(error.errors) from error


def _only_once(host: Host, checked: DocumentExpectation) -> None:
    if Expectation.objects.filter(host=host, **expectation_to_json_object(checked)).exists():
        raise Invalid((FieldError("", f"It is expected already: {describe_expectation(checked)}."),))


def _get(host: Host, key: int, version: int) -> Expectation:
    row = Expectation.objects.filter(host=host, pk=key).first()
    if row is None:
        raise Conflict(GONE, current=None)
    if row.version != version:
        raise Conflict("Somebody changed this expectation meanwhile.", current=row)
    return row


def _audit(
    host: Host,
    actor: Actor,
    verb: str,
    row: Expectation,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    target = describe_expectation(expectation_document(row))
    audit_record(actor=actor, verb=verb, host=host, target=target, before=before, after=after)
