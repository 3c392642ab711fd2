"""Editing rules and settings: stored rows, refusals, two admins at once, the audit log."""

from __future__ import annotations

import pytest

from dockerfw.document.document import Document, parse_document
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document, pending_diff, rule_values, settings_mark
from rules.draft.draft_services import draft_discard, draft_replace, settings_update
from rules.draft.rule_selectors import rule_rows
from rules.draft.rule_services import rule_create, rule_delete, rule_restore, rule_set_enabled, rule_update
from rules.models import AuditEvent, Host, Rule
from rules.pages.errors import Conflict, Invalid, NotFound
from tests.rig.confirmed import confirm

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
WEB = {"scope": "both", "protocol": "tcp", "ports": ["80", "443"], "comment": "web für alle"}


def version(host: Host) -> int:
    return Host.objects.get(pk=host.pk).draft_version


def test_a_new_rule_is_stored_canonically(host: Host, alice: Actor) -> None:
    before = version(host)
    rule = rule_create(
        host=host, actor=alice, values={**SSH, "source": "10.1.2.3/8", "ports": [22, "8000:8010"]}
    )
    assert rule.sources == ["10.0.0.0/8"]
    assert rule.ports == ["22", "8000-8010"]
    assert len(rule.key) == 6
    assert version(host) == before + 1
    event = AuditEvent.objects.get(verb="rule-create")
    assert (event.actor_name, event.address, event.target) == ("alice", "192.0.2.10", rule.key)
    assert event.before is None
    assert event.after == rule_values(rule)


def test_a_bad_rule_has_an_error_for_each_field_and_stores_nothing(host: Host, alice: Actor) -> None:
    before = version(host)
    with pytest.raises(Invalid) as caught:
        rule_create(host=host, actor=alice, values={"scope": "moon", "protocol": "tcp", "ports": [70000]})
    assert {error.path for error in caught.value.errors} == {"scope", "ports[0]"}
    assert not Rule.objects.exists()
    assert not AuditEvent.objects.exists()
    assert version(host) == before


@pytest.mark.parametrize("comment", ["zero\u200bwidth", "a\u202eb", "tag \U000e0041", "\x1b[2J"])
def test_a_comment_with_invisible_characters_is_not_stored(host: Host, alice: Actor, comment: str) -> None:
    with pytest.raises(Invalid) as caught:
        rule_create(host=host, actor=alice, values={**SSH, "comment": comment})
    assert [error.path for error in caught.value.errors] == ["comment"]
    rule = rule_create(host=host, actor=alice, values=SSH)
    with pytest.raises(Invalid):
        rule_update(host=host, actor=alice, key=rule.key, version=1, values={"comment": comment})
    assert Rule.objects.get().comment == "ssh"


@pytest.mark.parametrize("name", ["comment", "owner", "ticket"])
def test_no_import_stores_a_text_with_invisible_characters(host: Host, alice: Actor, name: str) -> None:
    document = parse_document({"format": "dockerfw/2", "rules": [{"scope": "host", name: "zero\u200bwidth"}]})
    with pytest.raises(Invalid) as caught:
        draft_replace(host=host, actor=alice, document=document, version=None)
    assert [error.path for error in caught.value.errors] == [f"rules[0].{name}"]
    assert not Rule.objects.exists()


def test_a_comment_from_before_the_check_stays_usable(host: Host, alice: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    Rule.objects.update(comment="zero\u200bwidth")
    confirm(host, alice)
    assert rule_set_enabled(host=host, actor=alice, key=rule.key, version=1, enabled=False).version == 2
    restored = rule_restore(host=host, actor=alice, key=rule.key)
    assert restored is not None
    assert (restored.comment, restored.enabled) == ("zero\u200bwidth", True)


def test_the_second_of_two_admins_gets_a_conflict_and_loses_nothing(
    host: Host, alice: Actor, bob: Actor
) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    changed = rule_update(host=host, actor=alice, key=rule.key, version=1, values={"comment": "alice"})
    assert changed.version == 2
    with pytest.raises(Conflict) as caught:
        rule_update(host=host, actor=bob, key=rule.key, version=1, values={"comment": "bob"})
    current = caught.value.current
    assert isinstance(current, Rule)
    assert (current.comment, current.version) == ("alice", 2)
    assert Rule.objects.get().comment == "alice"
    for attempt in (
        lambda: rule_set_enabled(host=host, actor=bob, key=rule.key, version=1, enabled=False),
        lambda: rule_delete(host=host, actor=bob, key=rule.key, version=1),
    ):
        with pytest.raises(Conflict):
            attempt()


def test_a_removed_rule_is_a_conflict_without_a_current_one(host: Host, alice: Actor, bob: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    rule_delete(host=host, actor=alice, key=rule.key, version=1)
    with pytest.raises(Conflict) as caught:
        rule_update(host=host, actor=bob, key=rule.key, version=1, values={"comment": "bob"})
    assert caught.value.current is None


def test_an_update_that_changes_nothing_is_no_edit(host: Host, alice: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    before = version(host)
    same = rule_update(host=host, actor=alice, key=rule.key, version=1, values=SSH)
    assert same.version == 1
    assert version(host) == before
    assert not AuditEvent.objects.filter(verb="rule-update").exists()


def test_each_edit_is_audited_with_before_and_after(host: Host, alice: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    rule_update(host=host, actor=alice, key=rule.key, version=1, values={"ports": ["2222"]})
    rule_set_enabled(host=host, actor=alice, key=rule.key, version=2, enabled=False)
    rule_set_enabled(host=host, actor=alice, key=rule.key, version=3, enabled=True)
    rule_delete(host=host, actor=alice, key=rule.key, version=4)
    events = list(AuditEvent.objects.order_by("pk"))
    assert [event.verb for event in events] == [
        "rule-create",
        "rule-update",
        "rule-disable",
        "rule-enable",
        "rule-delete",
    ]
    assert events[1].before["ports"] == ["22"]
    assert events[1].after["ports"] == ["2222"]
    assert events[2].after["enabled"] is False
    assert events[4].before["ports"] == ["2222"]
    assert events[4].after is None


def test_rows_are_marked_against_what_was_applied(host: Host, alice: Actor) -> None:
    kept = rule_create(host=host, actor=alice, values=SSH)
    changed = rule_create(host=host, actor=alice, values=WEB)
    removed = rule_create(host=host, actor=alice, values={"scope": "both", "source": "192.0.2.0/24"})
    assert {row.mark for row in rule_rows(host)} == {"new"}
    confirm(host, alice)
    assert {row.mark for row in rule_rows(host)} == {""}
    rule_update(host=host, actor=alice, key=changed.key, version=1, values={"ports": ["443"]})
    rule_delete(host=host, actor=alice, key=removed.key, version=1)
    new = rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "udp", "ports": ["53"]})
    rows = {row.key: row for row in rule_rows(host)}
    assert {key: row.mark for key, row in rows.items()} == {
        kept.key: "",
        changed.key: "changed",
        removed.key: "removed",
        new.key: "new",
    }
    base = rows[changed.key].base
    assert base is not None
    assert base.ports == ("80", "443")
    assert rows[removed.key].version == 0
    assert pending_diff(host).count == 3


def test_undo_brings_back_what_was_applied(host: Host, alice: Actor) -> None:
    changed = rule_create(host=host, actor=alice, values=WEB)
    removed = rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    rule_update(host=host, actor=alice, key=changed.key, version=1, values={"ports": ["443"]})
    rule_delete(host=host, actor=alice, key=removed.key, version=1)
    new = rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "udp", "ports": ["53"]})
    restored = rule_restore(host=host, actor=alice, key=changed.key)
    assert restored is not None
    assert restored.ports == ["80", "443"]
    assert rule_restore(host=host, actor=alice, key=removed.key) is not None
    assert rule_restore(host=host, actor=alice, key=new.key) is None
    assert pending_diff(host).count == 0
    with pytest.raises(NotFound):
        rule_restore(host=host, actor=alice, key="nosuch")


def test_search_finds_rules_by_all_words(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    rule_create(host=host, actor=alice, values=WEB)
    assert [row.rule.comment for row in rule_rows(host, query="TCP für")] == ["web für alle"]
    assert len(rule_rows(host, query="tcp")) == 2
    assert rule_rows(host, query="tcp nonsense") == ()


def test_settings_are_checked_audited_and_locked(host: Host, alice: Actor, bob: Actor) -> None:
    seen, mark = version(host), settings_mark(host)
    rule_create(host=host, actor=bob, values=SSH)
    values = {"external_interfaces": ["eth0", "ens33"], "refuse": "drop"}
    changed = settings_update(host=host, actor=alice, mark=mark, values=values)
    assert changed.external_interfaces == ["ens33", "eth0"]
    assert changed.draft_version == seen + 2
    event = AuditEvent.objects.get(verb="settings-update")
    assert (event.before or {})["refuse"] == "reject"
    assert (event.after or {})["refuse"] == "drop"
    with pytest.raises(Conflict) as caught:
        settings_update(host=host, actor=bob, mark=mark, values={"icmp": "refuse"})
    assert isinstance(caught.value.current, Host)
    assert caught.value.current.refuse == "drop"
    with pytest.raises(Invalid) as bad:
        settings_update(
            host=host,
            actor=bob,
            mark=settings_mark(changed),
            values={"trusted_interfaces": ["ens33"], "icmp": "maybe"},
        )
    assert {error.path for error in bad.value.errors} == {"trusted_interfaces", "icmp"}


def test_an_import_replaces_the_draft_and_a_discard_puts_it_back(host: Host, alice: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    document = parse_document(
        {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["eth9"]},
            "rules": [{**SSH, "id": rule.key, "comment": "changed"}, WEB],
        }
    )
    changed = draft_replace(host=host, actor=alice, document=document, version=None)
    assert draft_document(changed) == document
    assert Rule.objects.get(key=rule.key).version == 2
    assert pending_diff(changed).count > 0
    with pytest.raises(Conflict):
        draft_discard(host=host, actor=alice, version=changed.draft_version - 1)
    back = draft_discard(host=host, actor=alice, version=changed.draft_version)
    assert pending_diff(back).count == 0
    assert back.external_interfaces == ["ens33"]
    event = AuditEvent.objects.filter(verb="draft-replace").get()
    assert event.after["settings"]["external_interfaces"] == ["eth9"]


def test_a_discard_before_the_first_apply_empties_the_draft(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    back = draft_discard(host=host, actor=alice, version=version(host))
    assert draft_document(back) == Document()
