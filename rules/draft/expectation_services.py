"""Write the expectations of a draft, one audited transaction each.

An update names the version that it changes. A second update of the same version raises Conflict with the
stored row.
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
from rules.pages.texts import check_texts

GONE = "This expectation has been removed since you opened it."


def expectation_create(*, host: Host, actor: Actor, values: Mapping[str, object]) -> Expectation:
    """Add an expectation to the draft; `values` has a document expectation's keys. Raises Invalid."""
    with transaction.atomic():
        host_lock(host)
        checked = _validate(values)
        if Expectation.objects.filter(host=host).count() >= MAX_EXPECTATIONS:
            full = f"The draft already has {MAX_EXPECTATIONS} expectations, the most allowed."
            raise Invalid((FieldError("", full),))
        _check_unique(host, checked)
        row = Expectation.objects.create(host=host, **expectation_to_json_object(checked))
        draft_touch(host)
        _audit(host, actor, "expectation-create", row, after=expectation_values(row))
        return row


def expectation_update(
    *, host: Host, actor: Actor, key: int, version: int, values: Mapping[str, object]
) -> Expectation:
    """Change an expectation that is at `version`; missing keys keep their value.

    Raises Invalid, and Conflict, whose current is None for a removed one.
    """
    with transaction.atomic():
        host_lock(host)
        row = _get(host, key, version)
        before = expectation_values(row)
        checked = _validate({**before, **values})
        after = expectation_to_json_object(checked)
        if after == before:
            return row
        _check_unique(host, checked)
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


def _validate(values: Mapping[str, object]) -> DocumentExpectation:
    try:
        expectation = validate_expectation(dict(values))
    except DocumentError as error:
        raise Invalid(error.errors) from error
    check_texts({"comment": expectation.comment})
    return expectation


def _check_unique(host: Host, checked: DocumentExpectation) -> None:
    if Expectation.objects.filter(host=host, **expectation_to_json_object(checked)).exists():
        raise Invalid((FieldError("", f"This expectation already exists: {describe_expectation(checked)}."),))


def _get(host: Host, key: int, version: int) -> Expectation:
    row = Expectation.objects.filter(host=host, pk=key).first()
    if row is None:
        raise Conflict(GONE, current=None)
    if row.version != version:
        raise Conflict("This expectation has changed since you opened it.", current=row)
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
