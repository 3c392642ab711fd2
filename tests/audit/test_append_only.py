"""Revisions and audit events are append-only, in the models and in the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from rules.audit.actors import Actor
from rules.audit.audit_services import VERBS, audit_record
from rules.models import AppendOnlyError, AuditEvent, Host, Revision


@pytest.fixture
def revision(host: Host) -> Revision:
    return Revision.objects.create(
        host=host, number=1, document="{}", digest="0" * 64, author_name="alice", message="first"
    )


@pytest.fixture
def event(host: Host, alice: Actor) -> AuditEvent:
    return audit_record(actor=alice, verb="rule-create", host=host, target="abcd")


def test_models_refuse_changes(revision: Revision, event: AuditEvent) -> None:
    attempts: list[Callable[[], object]] = [
        revision.save,
        revision.delete,
        event.save,
        event.delete,
        lambda: Revision.objects.update(message="other"),
        lambda: Revision.objects.all().delete(),
        lambda: AuditEvent.objects.filter(pk=event.pk).update(actor_name="bob"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: Revision.objects.bulk_update([revision], ["message"]),
        lambda: Revision._base_manager.all().update(message="other"),
    ]
    for attempt in attempts:
        with pytest.raises(AppendOnlyError):
            attempt()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rules_revision SET message = 'other'",
        "DELETE FROM rules_revision",
        "UPDATE rules_auditevent SET actor_name = 'bob'",
        "DELETE FROM rules_auditevent",
    ],
)
def test_the_database_refuses_changes(revision: Revision, event: AuditEvent, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)
    assert Revision.objects.get().message == "first"
    assert AuditEvent.objects.get().actor_name == "alice"


def test_the_audit_knows_its_verbs(host: Host, alice: Actor) -> None:
    with pytest.raises(KeyError):
        audit_record(actor=alice, verb="rule-invent", host=host)
    assert all(len(verb) <= 50 for verb in VERBS)


@pytest.mark.django_db(transaction=True)
def test_a_flush_in_a_test_works_and_leaves_the_triggers() -> None:
    host = Host.objects.create(name="other")
    Revision.objects.create(host=host, number=1, document="{}", digest="0" * 64, author_name="a", message="m")


@pytest.mark.django_db
def test_after_a_flush_the_triggers_are_there(revision: Revision) -> None:
    assert Revision.objects.count() == 1
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute("DELETE FROM rules_revision")
