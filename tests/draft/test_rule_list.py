"""The table of rules: marks with undo, inline edits, search, other rules, covered rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

import pytest
from django.test import Client

from dockerfw.host.clock import utc_now
from dockerfw.messages.surroundings import RuleUse, RuleUses
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create, rule_delete, rule_set_enabled, rule_update
from rules.models import AuditEvent, Host, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
RULES = f"{HOST}/rules/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Rule:
    """A rule of the draft."""
    return add(host, alice, {"ports": ["22"], "comment": "ssh of the admins"})


def add(host: Host, actor: Actor, values: Mapping[str, object]) -> Rule:
    """Add a rule to the draft."""
    return rule_create(host=host, actor=actor, values={"scope": "host", "protocol": "tcp", **values})


def test_access(signed_in: Client, ssh: Rule) -> None:
    assert_access(RULES, signed_in)
    for verb in ("toggle", "delete", "restore", "undelete"):
        assert_access(f"{RULES}{ssh.key}/{verb}/", signed_in, methods="post")
        assert signed_in.get(f"{RULES}{ssh.key}/{verb}/").status_code == 405


def test_an_empty_draft_says_what_to_do(signed_in: Client) -> None:
    page = signed_in.get(RULES)
    assert "No rules yet" in text_of(page)
    assert "Everything else Any anyone Host and containers – refused Reject" in text_of(page)
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_nothing_stands_below_the_rows_where_nothing_is_to_be_said(
    working: Client, host: Host, ssh: Rule
) -> None:
    assert "Hits are unknown: the root worker has not reported yet." in text_of(working.get(RULES))
    snapshot_store(host, draft_document(host), 1)
    assert "table-foot" not in working.get(RULES).content.decode()


def test_rows_are_marked_and_can_be_undone(signed_in: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    gone = add(host, alice, {"ports": ["80"]})
    confirm(host, alice)
    rule_update(host=host, actor=alice, key=ssh.key, version=1, values={"ports": ["2222"]})
    rule_delete(host=host, actor=alice, key=gone.key, version=1)
    new = add(host, alice, {"ports": ["443"]})
    words = text_of(signed_in.get(RULES))
    assert "ssh of the admins Changed Before: port 22. 2222 /tcp anyone Host" in words
    assert "80/tcp Removed HTTP 80 /tcp" in words
    assert "443/tcp New HTTPS 443 /tcp" in words
    for key in (ssh.key, gone.key, new.key):
        answer = signed_in.post(f"{RULES}{key}/restore/")
        assert answer["Location"] == f"{RULES}#rule-{key}"
    assert "pending change" not in text_of(signed_in.get(RULES))


def test_toggle_moves_only_its_row_and_the_numbers(signed_in: Client, ssh: Rule) -> None:
    path = f"{RULES}{ssh.key}/toggle/"
    piece = signed_in.post(path, {"off": "1"}, headers=HTMX).content.decode()
    assert f'<template><tr id="rule-{ssh.key}"' in piece
    assert 'aria-checked="false"' in piece
    assert 'id="pending-button"' in piece
    assert piece.count("hx-swap-oob=") == 4
    assert not Rule.objects.get().enabled


def test_toggle_works_without_scripts_and_comes_back(signed_in: Client, ssh: Rule) -> None:
    back = f"{RULES}?q=ssh"
    answer = signed_in.post(f"{RULES}{ssh.key}/toggle/", {"off": "1", "back": back})
    assert answer["Location"] == f"{back}#rule-{ssh.key}"
    elsewhere = {"on": "2", "back": "https://evil.example/"}
    assert signed_in.post(f"{RULES}{ssh.key}/toggle/", elsewhere)["Location"] == f"{RULES}#rule-{ssh.key}"


@pytest.mark.parametrize("version", ["0", "", "-1", "9" * 40, "one"])
def test_a_toggle_of_an_old_row_changes_nothing_and_says_so(
    signed_in: Client, host: Host, ssh: Rule, bob: Actor, version: str
) -> None:
    rule_set_enabled(host=host, actor=bob, key=ssh.key, version=1, enabled=False)
    data = {"on": version}
    piece = signed_in.post(f"{RULES}{ssh.key}/toggle/", data, headers=HTMX).content.decode()
    assert "This rule has changed since you opened it." in piece
    assert 'aria-checked="false"' in piece
    assert not Rule.objects.get().enabled


def test_delete_of_an_applied_rule_leaves_a_row_with_undo(
    signed_in: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    confirm(host, alice)
    piece = signed_in.post(f"{RULES}{ssh.key}/delete/", {"version": "1"}, headers=HTMX).content.decode()
    assert "Removed" in piece
    assert f'formaction="{ssh.key}/restore/"' in piece
    assert 'aria-label="Undo: ssh of the admins"' in piece


def test_delete_of_a_new_rule_takes_its_row_away(signed_in: Client, ssh: Rule) -> None:
    piece = signed_in.post(f"{RULES}{ssh.key}/delete/", {"version": "1"}, headers=HTMX).content.decode()
    assert f'<template><tr id="rule-{ssh.key}" hx-swap-oob="delete"></tr></template>' in piece
    assert "Removed from the draft" in piece
    assert signed_in.post(f"{RULES}{ssh.key}/delete/", {"version": "1"}, headers=HTMX).status_code == 200


@pytest.mark.parametrize("how", ["delete", "restore"])
def test_a_rule_that_was_never_applied_is_back_after_undo(
    signed_in: Client, host: Host, alice: Actor, how: str
) -> None:
    new = add(host, alice, {"ports": ["8443"], "comment": "shop"})
    back = f"{RULES}?q=shop"
    data = {"version": "1", "back": back}
    page = signed_in.post(f"{RULES}{new.key}/{how}/", data, follow=True)
    assert not Rule.objects.exists()
    undo = re.search(r'action="([^"]*/undelete/)"', page.content.decode())
    assert undo is not None
    answer = signed_in.post(undo[1], {"back": back})
    assert answer["Location"] == f"{back}#rule-{new.key}"
    again = Rule.objects.get()
    assert (again.key, again.ports, again.comment) == (new.key, ["8443"], "shop")
    assert AuditEvent.objects.first().verb == "rule-undelete"  # type: ignore[union-attr]
    page = signed_in.post(undo[1], {"back": back}, follow=True)
    assert "The draft already has this rule." in text_of(page)
    assert Rule.objects.count() == 1


def test_a_deleted_change_comes_back_with_undo(
    signed_in: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    confirm(host, alice)
    rule_update(host=host, actor=alice, key=ssh.key, version=1, values={"ports": ["2222"]})
    signed_in.post(f"{RULES}{ssh.key}/delete/", {"version": "2"})
    signed_in.post(f"{RULES}{ssh.key}/undelete/")
    assert Rule.objects.get().ports == ["2222"]


def test_what_was_never_removed_cannot_be_undone(signed_in: Client) -> None:
    page = signed_in.post(f"{RULES}zzzz/undelete/", follow=True)
    assert "No rule zzzz was removed from the draft." in text_of(page)


def test_an_edit_comes_back_to_the_search_and_page_it_began_on(signed_in: Client, ssh: Rule) -> None:
    back = f"{RULES}?q=ssh&page=3&others=yes"
    table = signed_in.get(back).content.decode()
    edit = f"{RULES}{ssh.key}/edit/"
    link = f"{ssh.key}/edit/?back={quote('?q=ssh&page=3&others=yes', safe='')}"
    assert f'href="{link}"' in table
    form = signed_in.get(f"{RULES}{link}")
    assert f'name="back" value="{escape(back)}"' in form.content.decode()
    assert f'href="{escape(back)}#rule-{ssh.key}">Cancel' in form.content.decode()
    typed = {"scope": "host", "protocol": "tcp", "ports": "22", "port_kind": "published", "back": back}
    wrong = signed_in.post(edit, {**typed, "version": "1", "ports": "x"})
    assert f'name="back" value="{escape(back)}"' in wrong.content.decode()
    assert signed_in.post(edit, {**typed, "version": "1"})["Location"] == f"{back}#rule-{ssh.key}"
    elsewhere = {**typed, "version": "2", "back": "//evil.example/"}
    assert signed_in.post(edit, elsewhere)["Location"] == f"{RULES}#rule-{ssh.key}"


def test_a_new_rule_is_shown_on_its_page(signed_in: Client, host: Host) -> None:
    Rule.objects.bulk_create(
        Rule(host=host, key=f"k{number:05}", scope="host", protocol="tcp", ports=[str(number + 1)])
        for number in range(100)
    )
    typed = {"scope": "host", "protocol": "tcp", "ports": "22", "port_kind": "published"}
    answer = signed_in.post(f"{RULES}new/", {**typed, "comment": "the newest"})
    key = Rule.objects.get(comment="the newest").key
    assert answer["Location"] == f"{RULES}?page=3#rule-{key}"
    assert f'id="rule-{key}"' in signed_in.get(answer["Location"].partition("#")[0]).content.decode()


def test_search_finds_by_port_and_comment(signed_in: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    add(host, alice, {"ports": ["8443"], "comment": "<b>shop & more</b>"})
    page = signed_in.get(RULES, {"q": "shop"})
    assert "8443" in text_of(page)
    assert "ssh of the admins" not in text_of(page)
    assert b"&lt;b&gt;shop &amp; more&lt;/b&gt;" in page.content
    assert 'No rule has "zebra"' in text_of(signed_in.get(RULES, {"q": "shop zebra"}))


def test_a_covered_rule_is_marked(signed_in: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    add(host, alice, {"ports": ["22"], "source": "10.0.0.0/8"})
    assert "Already allowed by 22/tcp from anywhere to the host" in text_of(signed_in.get(RULES))


def test_long_tables_are_paged(signed_in: Client, host: Host, alice: Actor) -> None:
    Rule.objects.bulk_create(
        Rule(host=host, key=f"k{number:05}", scope="host", protocol="tcp", ports=[str(number + 1)])
        for number in range(250)
    )
    first = signed_in.get(RULES)
    assert "1 to 40 of 250" in text_of(first)
    assert "Everything else" not in text_of(first)
    assert "41 to 80 of 250" in text_of(signed_in.get(RULES, {"page": "2"}))
    assert "241 to 250 of 250" in text_of(signed_in.get(RULES, {"page": "99999"}))
    assert signed_in.get(RULES, {"page": "x"}).status_code == 200


@pytest.mark.redis
def test_hits_and_others_rules_come_from_the_kernel(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    snapshot_store(host, draft_document(host), 1, packets=1234)
    words = text_of(working.get(RULES))
    assert "ssh of the admins New SSH 22 /tcp anyone Host 2 468" in words
    assert "Everything else Any anyone Host and containers 2 468" in words
    assert "DOCKER-USER" not in text_of(working.get(RULES))
    assert "filter DOCKER-USER Docker" in text_of(working.get(RULES, {"others": "yes"}))


def test_the_last_use_of_a_rule_is_told_with_the_day_the_counting_began(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    used = RuleUse(ssh.key, f"{utc_now(ahead=-3 * 3600)[:19]}Z")
    document = draft_document(host)
    snapshot_store(
        host, document, 1, packets=7, around={"uses": RuleUses("2026-10-01T00:00:00Z", (), (used,))}
    )
    assert "3 h ago" in text_of(working.get(RULES))
    never = RuleUses("2026-10-01T00:00:00Z", (ssh.key,), ())
    snapshot_store(host, document, 1, around={"uses": never})
    words = text_of(working.get(RULES))
    assert "ssh of the admins New Unused" in words
    assert "none since 1 Oct" in words
    assert "Last hits are known since 1 Oct" in words


def test_rules_that_are_counted_together_say_so_and_are_never_called_unused(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    twin = add(host, alice, {"ports": ["22"], "comment": "the same once more"})
    keys = sorted((ssh.key, twin.key))
    revision = confirm(host, alice)
    used = RuleUse(keys[0], f"{utc_now(ahead=-3 * 3600)[:19]}Z")
    uses = RuleUses("2026-10-01T00:00:00Z", (keys[1],), (used,))
    snapshot_store(host, draft_document(host), revision.number, around={"uses": uses})
    words = text_of(working.get(RULES))
    assert words.count("The kernel counts it with 22/tcp from anywhere to the host") == 1
    assert words.count("3 h ago") == 2
    assert words.count("Unused") == 1, "only the filter"
    assert "none since" not in words
    assert "the same once more" not in text_of(working.get(RULES, {"q": "unused:2026-11-01"}))
    never = RuleUses("2026-10-01T00:00:00Z", tuple(keys), ())
    snapshot_store(host, draft_document(host), revision.number, around={"uses": never})
    assert "the same once more" in text_of(working.get(RULES, {"q": "unused:2026-11-01"}))


def test_the_conditions_of_a_rule_are_marked(signed_in: Client, host: Host, alice: Actor) -> None:
    group_create(host=host, actor=alice, name="office", values={"entries": ["203.0.113.0/24"]})
    values = {"ports": ["22"], "sources": ["@office", "198.51.100.7"], "limit": "6/minute"}
    more = {"interface": "wg0", "tags": ["ops"], "owner": "ada", "expires": "2020-01-01T00:00:00Z"}
    add(host, alice, {**values, **more})
    add(host, alice, {"action": "block", "sources": ["203.0.113.0/25"], "starts": "2037-01-01T00:00:00Z"})
    page = signed_in.get(RULES)
    words, body = text_of(page), page.content.decode()
    assert has_no_inline_code(page)
    for text in (
        *("6 a minute", "Ended", "on wg0", "Block Starts in", "#ops", "ada"),
        "Expired at 2020-01-01 00:00 UTC",
    ):
        assert text in words
    assert f'href="{HOST}/group/office/">@office</a>' in body
    assert "?q=tag:ops" in body
    assert "6 a minute" not in text_of(signed_in.get(f"{RULES}?q=block"))
    assert "@office" in text_of(signed_in.get(f"{RULES}?q=203.0.113.9"))


def test_what_a_block_leaves_without_effect_is_told_of_on_both(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    add(host, alice, {"ports": ["22"], "sources": ["203.0.113.7"], "comment": "ssh"})
    add(host, alice, {"action": "block", "sources": ["203.0.113.0/24"], "comment": "attackers"})
    words = text_of(signed_in.get(RULES))
    assert "Has no effect: everything it allows is blocked by attackers." in words
    assert "Because of this block ssh has no effect." in words
    typed = {"scope": "host", "protocol": "tcp", "ports": "23", "port_kind": "published", "enabled": "on"}
    warned = signed_in.post(f"{RULES}warnings/", {**typed, "sources": "203.0.113.9"})
    assert "Has no effect: everything it allows is blocked by attackers." in text_of(warned)
    warned = signed_in.post(f"{RULES}warnings/", {**typed, "action": "block", "ports": "1-99"})
    assert "Because of this block ssh has no effect." in text_of(warned)
