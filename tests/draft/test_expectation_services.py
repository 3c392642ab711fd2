"""Editing expectations: stored rows, two admins at once, the audit log, import and discard."""

from __future__ import annotations

import pytest

from dockerfw.document.document import parse_document
from rules.audit.actors import Actor
from rules.draft.draft_selectors import (
    draft_document,
    expectation_document,
    expectation_values,
    pending_diff,
    settings_mark,
)
from rules.draft.draft_services import draft_discard, draft_replace, settings_update
from rules.draft.expectation_services import expectation_create, expectation_delete, expectation_update
from rules.models import AuditEvent, Expectation, Host
from rules.pages.errors import Conflict, Invalid
from tests.rig.confirmed import confirm

SSH = {"source": "203.0.113.9/24", "protocol": "tcp", "port": 22, "passes": True, "comment": "the office"}
DB = {"protocol": "tcp", "port": 5432, "to": "container", "container": "db", "passes": False}


def now(host: Host) -> Host:
    return Host.objects.get(pk=host.pk)


def test_an_expectation_is_stored_canonically_and_audited(host: Host, alice: Actor) -> None:
    before = now(host).draft_version
    row = expectation_create(host=host, actor=alice, values=SSH)
    assert (row.source, row.version) == ("203.0.113.0/24", 1)
    assert now(host).draft_version == before + 1
    assert draft_document(now(host)).expectations == (expectation_document(row),)
    changed = expectation_update(host=host, actor=alice, key=row.pk, version=1, values={"port": 2222})
    assert (changed.port, changed.version, changed.comment) == (2222, 2, "the office")
    assert str(changed) == "2222/tcp of host from 203.0.113.0/24 passes"
    expectation_delete(host=host, actor=alice, key=row.pk, version=2)
    assert not Expectation.objects.exists()
    assert now(host).draft_version == before + 3
    events = AuditEvent.objects.order_by("pk").values_list("verb", "target")
    assert list(events) == [
        ("expectation-create", "22/tcp of the host from 203.0.113.0/24 passes"),
        ("expectation-update", "2222/tcp of the host from 203.0.113.0/24 passes"),
        ("expectation-delete", "2222/tcp of the host from 203.0.113.0/24 passes"),
    ]
    last = AuditEvent.objects.get(verb="expectation-delete")
    assert last.before is not None
    assert (last.actor_name, last.before["port"], last.after) == ("alice", 2222, None)


def test_what_is_wrong_stores_nothing(host: Host, alice: Actor) -> None:
    with pytest.raises(Invalid) as caught:
        expectation_create(host=host, actor=alice, values={**SSH, "port": 70000, "source": "moon"})
    assert {error.path for error in caught.value.errors} == {"port", "source"}
    row = expectation_create(host=host, actor=alice, values=SSH)
    with pytest.raises(Invalid, match="This expectation already exists: 22/tcp of the host"):
        expectation_create(host=host, actor=alice, values=SSH)
    version = now(host).draft_version
    same = expectation_update(host=host, actor=alice, key=row.pk, version=1, values=SSH)
    assert same.version == 1
    assert now(host).draft_version == version
    assert AuditEvent.objects.count() == 1


def test_the_second_of_two_admins_gets_a_conflict(host: Host, alice: Actor, bob: Actor) -> None:
    row = expectation_create(host=host, actor=alice, values=SSH)
    expectation_update(host=host, actor=alice, key=row.pk, version=1, values={"comment": "alice"})
    with pytest.raises(Conflict) as caught:
        expectation_update(host=host, actor=bob, key=row.pk, version=1, values={"comment": "bob"})
    assert caught.value.current == row
    with pytest.raises(Conflict):
        expectation_delete(host=host, actor=bob, key=row.pk, version=1)
    assert Expectation.objects.get().comment == "alice"
    expectation_delete(host=host, actor=alice, key=row.pk, version=2)
    with pytest.raises(Conflict) as caught:
        expectation_update(host=host, actor=bob, key=row.pk, version=2, values={"comment": "bob"})
    assert caught.value.current is None
    other = Host.objects.create(name="other")
    elsewhere = expectation_create(host=other, actor=alice, values=DB)
    with pytest.raises(Conflict):
        expectation_delete(host=host, actor=bob, key=elsewhere.pk, version=1)


def test_an_import_a_discard_and_a_revision_carry_them(host: Host, alice: Actor) -> None:
    row = expectation_create(host=host, actor=alice, values=SSH)
    settings_update(host=host, actor=alice, mark=settings_mark(now(host)), values={"heal_anchors": True})
    confirm(now(host), alice)
    assert pending_diff(now(host)).count == 0
    document = parse_document(
        {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["ens33"]},
            "expectations": [DB, expectation_values(row)],
        }
    )
    draft_replace(host=now(host), actor=alice, document=document, version=None)
    assert draft_document(now(host)) == document
    assert Expectation.objects.get(port=22).pk == row.pk
    assert pending_diff(now(host)).sentence == "1 expectation added, 1 setting changed"
    assert not now(host).heal_anchors
    draft_discard(host=now(host), actor=alice, version=now(host).draft_version)
    assert now(host).heal_anchors
    assert list(Expectation.objects.values_list("pk", flat=True)) == [row.pk]
