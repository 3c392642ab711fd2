"""Several rules of the table at once: the selected or all that the search finds, all or none, and Undo."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from django.test import Client

from dockerfw.document.container_definitions import MOST_DEFINITIONS
from rules.audit.actors import Actor
from rules.draft.draft_selectors import pending_diff
from rules.draft.rule_selectors import PAGE
from rules.draft.rule_services import rule_create, rule_delete, rule_undelete, rule_update
from rules.models import AuditEvent, Host, Rule
from tests.rig.confirmed import confirm
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
RULES = f"{HOST}/rules/"
BULK = f"{RULES}bulk/"
UNDO = f"{BULK}undo/"
FOR_CONTAINER: dict[str, object] = {"scope": "container", "protocol": "tcp", "ports": ["81"]}
NEVER = {"created_at", "updated_at", "version"}


def add(host: Host, actor: Actor, values: Mapping[str, object]) -> Rule:
    """Add a rule to the draft."""
    return rule_create(host=host, actor=actor, values={"scope": "host", "protocol": "tcp", **values})


def rows(host: Host) -> list[dict[str, object]]:
    """Return the rules as they are stored, without versions and times."""
    found = Rule.objects.filter(host=host).values()
    return [{key: value for key, value in row.items() if key not in NEVER} for row in found]


def draft_of(host: Host) -> int:
    """Return the version of the draft."""
    host.refresh_from_db()
    return host.draft_version


def select_all(client: Client, host: Host, action: str, count: int, **more: object) -> str:
    """Send the form with "select all" as a page of the current draft has it, and return the next page."""
    data = {"all": count, "draft": draft_of(host), "action": action, **more}
    return text_of(client.post(BULK, data, follow=True))


def undo(client: Client, draft: int) -> str:
    """Press the Undo of a change that made the draft's version this one, and return the next page."""
    return text_of(client.post(UNDO, {"draft": draft}, follow=True))


def test_several_rules_are_changed_at_once(signed_in: Client, host: Host, alice: Actor) -> None:
    assert_access(f"{RULES}bulk/", signed_in, methods="post")
    rules = [add(host, alice, {"ports": [str(port)], "tags": ["old"]}) for port in (80, 443)]

    def change(action: str, value: str = "") -> str:
        chosen = [f"{rule.key}:{rule.version}" for rule in rules]
        page = signed_in.post(
            f"{RULES}bulk/",
            {"rule": chosen, "action": action, "tag": value, "until": value},
            follow=True,
        )
        for rule in rules:
            if action != "delete":
                rule.refresh_from_db()
        return text_of(page)

    assert "2 rules changed in the draft." in change("disable")
    assert not any(rule.enabled for rule in rules)
    change("enable")
    change("tag", "Web")
    change("untag", "old")
    assert [rule.tags for rule in rules] == [["web"], ["web"]]
    assert "? is not a tag" in change("tag", "?")
    assert "Enter the tag." in change("tag")
    assert "Select rules" in change("explode")
    change("expire", "7 days")
    assert all("T" in rule.expires for rule in rules)
    assert "Enter a time, such as 7 days." in change("expire")
    assert "None of the rules was changed." in change("expire", "soon")
    change("never")
    assert [rule.expires for rule in rules] == ["", ""]
    rule_update(host=host, actor=alice, key=rules[1].key, version=rules[1].version, values={"comment": "x"})
    version = rules[0].version
    assert "changed since you opened this page. None of the rules was changed." in change("disable")
    assert rules[0].version == version
    assert "2 rules removed from the draft." in change("delete")
    assert not Rule.objects.exists()
    assert AuditEvent.objects.filter(verb="rule-delete").count() == 2


def test_all_that_the_search_finds_are_changed_on_every_page(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    for port in range(1000, 1000 + PAGE + 5):
        add(host, alice, {"ports": [str(port)], "comment": "shop" if port > 1000 else "ssh"})
    page = signed_in.get(RULES, {"q": "shop"})
    assert has_no_inline_code(page)
    assert f"All {PAGE + 4} that match" in text_of(page)
    assert f"All {PAGE + 5} Enable" in text_of(signed_in.get(RULES))
    said = select_all(signed_in, host, "disable", PAGE + 4, q="shop")
    assert f"{PAGE + 4} rules changed in the draft. Undo" in said
    assert [rule.comment for rule in Rule.objects.filter(enabled=True)] == ["ssh"]
    assert AuditEvent.objects.filter(verb="rule-disable").count() == PAGE + 4


def test_all_are_those_that_the_page_counted(signed_in: Client, host: Host, alice: Actor) -> None:
    rule = add(host, alice, {"ports": ["22"], "comment": "ssh"})
    seen = draft_of(host)
    assert "The search now finds 1 rule, not as many as when you opened the page. None" in select_all(
        signed_in, host, "delete", 2
    )
    rule_update(host=host, actor=alice, key=rule.key, version=1, values={"comment": "ssh for all"})
    said = select_all(signed_in, host, "delete", 1, draft=seen)
    assert "The draft has changed since you opened the page. None of the rules was changed." in said
    assert Rule.objects.count() == 1
    assert "1 rule removed from the draft." in select_all(signed_in, host, "delete", 1)
    page = text_of(signed_in.get(RULES))
    assert "Selected rules" not in page


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("disable", ""),
        ("enable", ""),
        ("tag", "new"),
        ("untag", "web"),
        ("expire", "7 days"),
        ("delete", ""),
    ],
)
def test_undo_restores_exactly_what_was_there(
    signed_in: Client, host: Host, alice: Actor, action: str, value: str
) -> None:
    add(host, alice, {"ports": ["22"], "tags": ["web"], "comment": "ssh"})
    add(host, alice, {"ports": ["80"], "enabled": False, "expires": "2027-01-31T18:00:00Z"})
    add(host, alice, {"ports": ["443"], "tags": ["new", "web"], "sources": ["203.0.113.0/24"]})
    confirm(host, alice)
    before = rows(host)
    assert "Undo" in select_all(signed_in, host, action, 3, tag=value, until=value)
    assert rows(host) != before
    assert "restored in the draft" in undo(signed_in, draft_of(host))
    assert rows(host) == before
    host.refresh_from_db()
    assert pending_diff(host).count == 0
    assert "can no longer be undone here" in undo(signed_in, draft_of(host))


def test_undo_says_that_the_draft_has_changed_since(
    signed_in: Client, host: Host, alice: Actor, bob: Actor
) -> None:
    assert_access(UNDO, signed_in, methods="post")
    assert "can no longer be undone here" in undo(signed_in, 1)
    first = add(host, alice, {"ports": ["22"]})
    other = add(host, alice, {"ports": ["80"]})
    signed_in.post(BULK, {"rule": f"{first.key}:1", "action": "delete"})
    after = draft_of(host)
    rule_update(host=host, actor=bob, key=other.key, version=1, values={"comment": "web"})
    assert "The draft has changed since. Nothing was undone." in undo(signed_in, after)
    assert [rule.comment for rule in Rule.objects.all()] == ["web"]
    # The Undo of an earlier change does not undo the later one.
    signed_in.post(BULK, {"rule": f"{other.key}:2", "action": "disable"})
    assert "can no longer be undone here" in undo(signed_in, after)
    assert "1 rule restored in the draft." in undo(signed_in, draft_of(host))


def test_a_conflict_names_the_rules_and_the_admin_and_offers_the_change_again(
    signed_in: Client, host: Host, alice: Actor, bob: Actor
) -> None:
    rules = [add(host, alice, {"ports": [str(port)], "comment": f"<b>{port}"}) for port in (80, 443, 25)]
    chosen = [f"{rule.key}:1" for rule in rules]
    rule_update(host=host, actor=bob, key=rules[0].key, version=1, values={"ports": ["81"]})
    rule_delete(host=host, actor=bob, key=rules[1].key, version=1)
    page = signed_in.post(BULK, {"rule": chosen, "action": "tag", "tag": "web", "back": f"{RULES}?q=b"})
    words = text_of(page)
    assert page.status_code == 409
    assert has_no_inline_code(page)
    assert "None of the rules was changed." in words
    assert "<b>80 : changed by bob" in words
    assert "<b>443 : removed by bob" in words
    assert (
        "repeat your change for 2 rules of your selection. Back to the rules Add the tag to 2 rules" in words
    )
    again = {"rule": [f"{rules[0].key}:2", f"{rules[2].key}:1"], "action": "tag", "tag": "web"}
    for text in again["rule"]:
        assert f'name="rule" value="{text}"' in page.content.decode()
    assert "2 rules changed in the draft." in text_of(signed_in.post(BULK, again, follow=True))
    assert [rule.tags for rule in Rule.objects.all()] == [["web"], ["web"]]


def test_what_changes_nothing_offers_no_undo(signed_in: Client, host: Host, alice: Actor) -> None:
    add(host, alice, {"ports": ["22"]})
    before = draft_of(host)
    said = select_all(signed_in, host, "enable", 1)
    assert "Nothing was changed." in said
    assert "Undo" not in said.partition("Dashboard")[0]
    assert draft_of(host) == before


def test_a_form_of_a_removed_rule_does_not_overwrite_the_rule_that_returned(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    rule = add(host, alice, {"ports": ["22"], "comment": "first"})
    rule_update(host=host, actor=alice, key=rule.key, version=1, values={"comment": "second"})
    form = {"scope": "host", "protocol": "tcp", "ports": "23", "port_kind": "published", "version": "1"}
    signed_in.post(BULK, {"rule": f"{rule.key}:2", "action": "delete"})
    undo(signed_in, draft_of(host))
    assert signed_in.post(f"{RULES}{rule.key}/edit/", form).status_code == 409
    signed_in.post(BULK, {"rule": f"{rule.key}:{Rule.objects.get().version}", "action": "delete"})
    rule_undelete(host=host, actor=alice, key=rule.key)
    assert signed_in.post(f"{RULES}{rule.key}/edit/", form).status_code == 409
    assert Rule.objects.get().comment == "second"


@pytest.fixture
def full(host: Host) -> Host:
    """A draft whose disabled rules by container need two sets more than a document may, once enabled."""
    Rule.objects.bulk_create(
        Rule(
            host=host,
            key=f"k{number}",
            scope="container",
            protocol="tcp",
            container=f"c{number}",
            ports=["80"],
            enabled=False,
        )
        for number in range(1000, 1001 + MOST_DEFINITIONS // 2)
    )
    return host


def test_enabling_stops_at_the_bound_of_container_sets(signed_in: Client, full: Host) -> None:
    said = select_all(signed_in, full, "enable", MOST_DEFINITIONS // 2 + 1)
    assert "need 2002 ipsets (at most 2000)" in said
    assert "None of the rules was changed." in said
    assert not Rule.objects.filter(enabled=True).exists()


def test_a_rule_beyond_the_bound_is_refused_at_its_container(signed_in: Client, full: Host) -> None:
    Rule.objects.exclude(key="k1000").update(enabled=True)
    form = {"scope": "container", "protocol": "tcp", "ports": "81", "port_kind": "published", "enabled": "on"}
    page = signed_in.post(f"{RULES}new/", {**form, "container": "shop/index", "comment": "search"})
    assert page.status_code == 422
    assert "need 2002 ipsets (at most 2000)" in str(page.context["form"]["container"].errors)
    assert page.context["form"]["comment"].value() == "search"
    document = {"format": "dockerfw/2", "rules": [{**FOR_CONTAINER, "container": "shop/index"}]}
    for text in (json.dumps(document), json.dumps({**document, "rules": many_rules()})):
        data = {"version": draft_of(full), "text": text, "mode": "add" if len(text) < 999 else "replace"}
        page = signed_in.post(f"{HOST}/import/", data)
        assert page.status_code == 422
        assert ".container" in text_of(page)
        assert "need 2002 ipsets (at most 2000)" in text_of(page)
    # One fewer, and another is allowed.
    signed_in.post(BULK, {"rule": "k1001:1", "action": "disable"})
    assert signed_in.post(f"{RULES}new/", {**form, "container": "shop/index"}).status_code == 302


def test_there_are_no_more_rules_than_a_document_has(
    signed_in: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rules.draft.draft_services.MAX_RULES", 1)
    add(host, alice, {"ports": ["22"]})
    form = {"scope": "host", "protocol": "tcp", "ports": "80", "port_kind": "published", "enabled": "on"}
    page = signed_in.post(f"{RULES}new/", form)
    assert page.status_code == 422
    assert "The draft already has 1 rules, the most allowed." in text_of(page)


def many_rules() -> list[dict[str, object]]:
    """Return rules that need two sets more than a document may."""
    return [{**FOR_CONTAINER, "container": f"c{number}"} for number in range(MOST_DEFINITIONS // 2 + 1)]
