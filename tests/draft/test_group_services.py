"""Editing groups: stored rows, references from rules, two admins at once, the audit log, large lists."""

from __future__ import annotations

import ipaddress

import pytest

from dockerfw.document.document import parse_document, to_json_object
from dockerfw.document.entries import read_network
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document, group_document, pending_diff, settings_mark
from rules.draft.draft_services import draft_discard, draft_replace, settings_update
from rules.draft.group_selectors import (
    GroupState,
    find_address,
    group_rows,
    group_states,
    register_group_states,
)
from rules.draft.group_services import group_create, group_delete, group_restore, group_update
from rules.draft.rule_services import (
    rule_create,
    rule_delete,
    rule_restore,
    rule_set_enabled,
    rule_undelete,
    rule_update,
)
from rules.models import AuditEvent, Group, Host, Rule
from rules.pages.errors import Conflict, Invalid, NotFound
from tests.rig.confirmed import confirm

OFFICE = {"kind": "static", "entries": ["203.0.113.9/24", "2001:db8:1::/48"], "comment": "both sites"}
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office", "198.51.100.7"]}


def now(host: Host) -> Host:
    return Host.objects.get(pk=host.pk)


def office(host: Host, alice: Actor) -> Group:
    return group_create(host=host, actor=alice, name="office", values=OFFICE)


def test_a_group_is_stored_canonically_and_audited(host: Host, alice: Actor) -> None:
    before = now(host).draft_version
    row = office(host, alice)
    assert row.entries == ["203.0.113.0/24", "2001:db8:1::/48"]
    assert now(host).draft_version == before + 1
    assert draft_document(now(host)).groups == (group_document(row),)
    event = AuditEvent.objects.get()
    assert (event.verb, event.target, event.before) == ("group-create", "@office", None)
    assert event.after
    assert event.after["entries"] == ["203.0.113.0/24", "2001:db8:1::/48"]
    assert pending_diff(now(host)).numbers.startswith("1 group added")


@pytest.mark.parametrize(
    ("name", "values", "paths"),
    [
        ("Büro", OFFICE, {"name"}),
        ("", OFFICE, {"name"}),
        (
            "office",
            {"kind": "static", "entries": ["moon", "192.0.2.0/24", "@a"]},
            {"entries[0]", "entries[2]"},
        ),
        ("office", {"kind": "feed", "url": "ftp://x"}, {"url"}),
        ("office", {"kind": "names", "names": []}, {"names"}),
        ("office", {**OFFICE, "comment": "a\u202eb"}, {"comment"}),
    ],
)
def test_what_is_wrong_stores_nothing(
    host: Host, alice: Actor, name: str, values: dict[str, object], paths: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        group_create(host=host, actor=alice, name=name, values=values)
    assert {error.path for error in caught.value.errors} == paths
    assert not Group.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_name_is_given_once(host: Host, alice: Actor) -> None:
    office(host, alice)
    with pytest.raises(Invalid, match="already has a group @office"):
        office(host, alice)
    home = group_create(host=host, actor=alice, name="home", values={"kind": "static"})
    with pytest.raises(Invalid, match="already has a group @office"):
        group_update(
            host=host, actor=alice, name="home", version=home.version, new_name="office", values=OFFICE
        )


def test_the_second_of_two_admins_gets_a_conflict(host: Host, alice: Actor, bob: Actor) -> None:
    row = office(host, alice)
    values = {**OFFICE, "comment": "alice"}
    changed = group_update(
        host=host, actor=alice, name="office", version=row.version, new_name="office", values=values
    )
    with pytest.raises(Conflict) as caught:
        group_update(
            host=host, actor=bob, name="office", version=row.version, new_name="office", values=OFFICE
        )
    assert caught.value.current == changed
    group_delete(host=host, actor=alice, name="office", version=changed.version)
    # A new group of the same name is not the one that bob has opened.
    office(host, alice)
    for version in (row.version, changed.version):
        with pytest.raises(Conflict):
            group_delete(host=host, actor=bob, name="office", version=version)


def test_a_group_that_rules_name_stays(host: Host, alice: Actor) -> None:
    row = office(host, alice)
    rule = rule_create(host=host, actor=alice, values={**SSH, "comment": "ssh"})
    with pytest.raises(Invalid, match=rf"@office is a source of 1 rule: ssh \({rule.key}\)"):
        group_delete(host=host, actor=alice, name="office", version=row.version)
    with pytest.raises(Invalid, match="@office is a source of 1 rule"):
        group_restore(host=host, actor=alice, name="office")
    rule_update(host=host, actor=alice, key=rule.key, version=1, values={"sources": []})
    group_delete(host=host, actor=alice, name="office", version=row.version)
    assert not Group.objects.exists()


def test_a_new_name_is_changed_in_the_rules_too(host: Host, alice: Actor) -> None:
    row = office(host, alice)
    rule = rule_create(host=host, actor=alice, values=SSH)
    other = rule_create(host=host, actor=alice, values={**SSH, "ports": ["23"], "sources": []})
    group_update(
        host=host, actor=alice, name="office", version=row.version, new_name="buildings", values=OFFICE
    )
    rule.refresh_from_db()
    other.refresh_from_db()
    assert (rule.sources, rule.version) == (["198.51.100.7/32", "@buildings"], 2)
    assert other.version == 1
    event = AuditEvent.objects.get(verb="group-update")
    assert event.before
    assert event.after
    assert (event.target, event.before["name"], event.after["name"], event.detail) == (
        *("@office", "office", "buildings"),
        "Renamed in 1 rule.",
    )
    parse_document(to_json_object(draft_document(now(host))))


def test_a_rule_names_only_groups_and_interfaces_of_the_draft(host: Host, alice: Actor) -> None:
    office(host, alice)
    with pytest.raises(Invalid) as caught:
        rule_create(host=host, actor=alice, values={**SSH, "sources": ["@ofice"]})
    assert [(each.path, each.message) for each in caught.value.errors] == [
        ("sources", "there is no group @ofice; did you mean office?")
    ]
    with pytest.raises(Invalid, match="eth7"):
        rule_create(host=host, actor=alice, values={**SSH, "scope": "both", "interface": "eth7"})
    rule_create(host=host, actor=alice, values={**SSH, "interface": "wg0"})
    rule_create(host=host, actor=alice, values={**SSH, "scope": "both", "interface": "ens33"})
    with pytest.raises(Invalid, match="ens33"):
        settings_update(
            host=host, actor=alice, mark=settings_mark(now(host)), values={"external_interfaces": ["eth0"]}
        )


def test_a_rule_does_not_come_back_without_its_group(host: Host, alice: Actor) -> None:
    row = office(host, alice)
    rule = rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    rule_delete(host=host, actor=alice, key=rule.key, version=1)
    group_delete(host=host, actor=alice, name="office", version=row.version)
    with pytest.raises(Invalid, match="no group @office"):
        rule_restore(host=now(host), actor=alice, key=rule.key)
    with pytest.raises(Invalid, match="no group @office"):
        rule_undelete(host=now(host), actor=alice, key=rule.key)
    (gone,) = group_rows(now(host))
    assert (gone.mark, gone.version) == ("removed", 0)
    assert group_restore(host=now(host), actor=alice, name="office") is not None
    restored = rule_restore(host=now(host), actor=alice, key=rule.key)
    assert restored is not None
    assert rule_set_enabled(
        host=now(host), actor=alice, key=rule.key, version=restored.version, enabled=False
    )


def test_undo_brings_the_applied_group_back(host: Host, alice: Actor) -> None:
    row = office(host, alice)
    confirm(host, alice)
    group_update(
        host=host, actor=alice, name="office", version=row.version, new_name="office",
        values={**OFFICE, "entries": ["192.0.2.0/24"]},
    )  # fmt: skip
    assert [each.mark for each in group_rows(now(host))] == ["changed"]
    group_restore(host=host, actor=alice, name="office")
    assert [each.mark for each in group_rows(now(host))] == [""]
    new = group_create(host=host, actor=alice, name="home", values={"kind": "static"})
    assert new.entries == []
    assert group_restore(host=host, actor=alice, name="home") is None
    with pytest.raises(NotFound):
        group_restore(host=host, actor=alice, name="home")
    assert pending_diff(now(host)).count == 0


def test_a_draft_with_groups_is_replaced_and_discarded(host: Host, alice: Actor) -> None:
    document = parse_document({"format": "dockerfw/2", "groups": {"office": OFFICE}, "rules": [SSH]})
    draft_replace(host=host, actor=alice, document=document, version=None)
    first = Group.objects.get()
    assert draft_document(now(host)) == document
    draft_discard(host=host, actor=alice, version=now(host).draft_version)
    assert not Group.objects.exists()
    assert not Rule.objects.exists()
    draft_replace(host=host, actor=alice, document=document, version=None)
    assert Group.objects.get().version > first.version
    hidden = parse_document({"format": "dockerfw/2", "groups": {"office": {**OFFICE, "comment": "a\u200bb"}}})
    with pytest.raises(Invalid):
        draft_replace(host=host, actor=alice, document=hidden, version=None)


def test_a_hundred_thousand_entries(host: Host, alice: Actor) -> None:
    entries = [str(ipaddress.ip_address(0x0A000000 + 2 * each)) for each in range(99_999)]
    row = group_create(
        host=host, actor=alice, name="many", values={"kind": "static", "entries": [*entries, "192.0.2.0/24"]}
    )
    assert len(row.entries) == 100_000
    event = AuditEvent.objects.get()
    assert event.after
    assert (event.after["entry_count"], len(event.after["entries"])) == (100_000, 1_000)
    with pytest.raises(Invalid, match="100002 entries"):
        office(host, alice)
    (shown,) = group_rows(now(host))
    assert (shown.ipv4, shown.ipv6) == (100_000, 0)
    group_update(
        host=host, actor=alice, name="many", version=row.version, new_name="many",
        values={"kind": "static", "entries": [*entries, "192.0.3.0/24"]},
    )  # fmt: skip
    event = AuditEvent.objects.get(verb="group-update")
    assert event.before
    assert event.after
    assert (event.before["entries"], event.after["entries"]) == (["192.0.2.0/24"], ["192.0.3.0/24"])


def test_an_address_is_found_in_groups_and_rules(host: Host, alice: Actor) -> None:
    office(host, alice)
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    by_group = rule_create(host=host, actor=alice, values=SSH)
    own = rule_create(host=host, actor=alice, values={**SSH, "ports": ["23"], "sources": ["203.0.0.0/8"]})
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["24"], "sources": []})
    network = read_network("203.0.113.7")
    assert network is not None
    found = find_address(draft_document(now(host)), network, {})
    assert [(each.group.name, each.entries) for each in found.holders] == [("office", ("203.0.113.0/24",))]
    assert {rule.id for rule in found.rules} == {by_group.key, own.key}
    assert (found.for_anyone, found.unknown) == (1, ("cloud",))
    wide = read_network("203.0.0.0/16")
    assert wide is not None
    assert find_address(draft_document(now(host)), wide, {}).holders[0].inside == 1


def test_who_uses_a_group_and_what_its_list_is(host: Host, alice: Actor) -> None:
    office(host, alice)
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    rule_create(host=host, actor=alice, values=SSH)
    cloud, rows = group_rows(now(host))
    assert [rule.ports for rule in rows.used_by] == [("22",)]
    assert (rows.state, rows.ipv4, rows.ipv6) == (None, 1, 1)
    assert cloud.state is not None
    assert cloud.state.text.startswith("Not fetched yet")


def test_the_state_of_lists_is_plugged_in(host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.draft.group_selectors._readers", [])
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    state = GroupState("Version 3, fetched 2 h ago.", "ok", 15, 7)
    register_group_states(lambda asked: {"cloud": state} if asked == host else {})
    assert group_states(host) == {"cloud": state}
    (row,) = group_rows(now(host))
    assert (row.state, row.ipv4, row.ipv6) == (state, 15, 7)
