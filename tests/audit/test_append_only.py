"""Revisions and audit events are append-only, in the models and in the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from rules.audit.actors import Actor
from rules.audit.audit_services import VERBS, audit_record
from rules.audit.trigger_selectors import wrong_triggers
from rules.models import AppendOnlyError, AuditEvent, Host, Revision

# The columns of a revision but its id.
REVISION = ", ".join(str(each.column) for each in Revision._meta.local_fields if each.column != "id")


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
        "INSERT OR REPLACE INTO rules_revision SELECT * FROM rules_revision",
        "REPLACE INTO rules_auditevent SELECT * FROM rules_auditevent",
        # Another row with the number of a revision.
        f"INSERT OR REPLACE INTO rules_revision ({REVISION}, id) SELECT {REVISION}, 99 FROM rules_revision",
        "INSERT INTO rules_auditevent SELECT * FROM rules_auditevent WHERE true "
        "ON CONFLICT (id) DO UPDATE SET actor_name = 'bob'",
        "UPDATE OR REPLACE rules_auditevent SET id = 7",
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


def test_rows_are_added_as_before(revision: Revision, event: AuditEvent, alice: Actor) -> None:
    Revision.objects.create(
        host=revision.host, number=2, document="{}", digest="0" * 64, author_name="bob", message="second"
    )
    audit_record(actor=alice, verb="rule-create", host=revision.host, target="efgh")
    assert (Revision.objects.count(), AuditEvent.objects.count()) == (2, 2)


@pytest.mark.parametrize(
    ("wrong", "statements"),
    [
        ("rules_auditevent_no_delete", ["DROP TRIGGER rules_auditevent_no_delete"]),
        ("quiet", ["CREATE TRIGGER quiet BEFORE INSERT ON rules_auditevent BEGIN SELECT RAISE(IGNORE); END"]),
        (
            "rules_revision_no_replacement",
            [
                "DROP TRIGGER rules_revision_no_replacement",
                "CREATE TRIGGER rules_revision_no_replacement BEFORE INSERT ON rules_revision "
                "WHEN false BEGIN SELECT 1; END",
            ],
        ),
    ],
)
def test_triggers_that_were_changed_are_found(db: None, wrong: str, statements: list[str]) -> None:
    assert wrong_triggers() == []
    for statement in statements:
        connection.cursor().execute(statement)
    assert wrong_triggers() == [wrong]


@pytest.mark.django_db(transaction=True)
def test_a_flush_in_a_test_works_and_leaves_the_triggers() -> None:
    host = Host.objects.create(name="other")
    Revision.objects.create(host=host, number=1, document="{}", digest="0" * 64, author_name="a", message="m")


@pytest.mark.django_db
def test_after_a_flush_the_triggers_are_there(revision: Revision) -> None:
    assert Revision.objects.count() == 1
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute("DELETE FROM rules_revision")
