"""Hints about rules, in the table and beside the form: they are warnings and stop nothing."""

from __future__ import annotations

import pytest
from django.test import Client

from dockerfw.messages.surroundings import ListeningSocket, PublishedPort
from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create
from rules.models import Host, Rule
from tests.draft.test_rule_form import FORM
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
RULES = f"{HOST}/rules/"
WARNINGS = f"{RULES}warnings/"
DATABASE = "PostgreSQL is a database that anyone may reach here."
AROUND = {
    "sockets": (ListeningSocket(4, "tcp", "", 22, process="sshd"),),
    "published": (
        PublishedPort(4, "tcp", "", 5432, "172.17.0.2", 5432),
        PublishedPort(4, "tcp", "", 8080, "172.17.0.3", 80),
    ),
}


@pytest.fixture
def seen(working: Client, host: Host) -> Client:
    """A host with an sshd and two published ports."""
    snapshot_store(host, None, around=AROUND)
    return working


def add(host: Host, actor: Actor, *ports: str, scope: str = "both") -> Rule:
    values = {"scope": scope, "protocol": "tcp", "ports": list(ports)}
    return rule_create(host=host, actor=actor, values=values)


def test_access(signed_in: Client) -> None:
    assert_access(WARNINGS, signed_in, methods="post")
    assert signed_in.get(WARNINGS).status_code == 405


@pytest.mark.redis
def test_the_table_shows_warnings(seen: Client, host: Host, alice: Actor) -> None:
    add(host, alice, "22", scope="host")
    idle = add(host, alice, "9000")
    add(host, alice, "5432", scope="container")
    page = seen.get(RULES)
    words = text_of(page)
    assert words.count("Nothing is listening on 9000/tcp now.") == 1
    assert words.count(DATABASE) == 1
    assert "Nothing is listening on 22/tcp" not in words
    assert has_no_inline_code(page)
    row = seen.post(
        f"{RULES}{idle.key}/toggle/", {"version": "1", "enabled": "yes"}, headers={"HX-Request": "true"}
    )
    assert "Nothing is listening on 9000/tcp now." in text_of(row)


@pytest.mark.redis
def test_a_published_port_without_a_rule_leads_to_the_form(seen: Client, host: Host, alice: Actor) -> None:
    page = seen.get(RULES)
    words = text_of(page)
    assert "Published by Docker without a rule" in words
    assert "8080/tcp 172.17.0.3:80 Not reachable from outside once the draft is applied." in words
    link = f"{RULES}new/?scope=container&amp;protocol=tcp&amp;ports=8080"
    assert f'href="{link}"' in page.content.decode()
    form = seen.get(link.replace("&amp;", "&")).context["form"]
    assert [form[name].value() for name in ("scope", "protocol", "ports")] == ["container", "tcp", "8080"]
    add(host, alice, "5432", "8080", scope="container")
    assert "without a rule" not in text_of(seen.get(RULES))


@pytest.mark.redis
def test_the_form_says_it_while_one_types(seen: Client, host: Host, alice: Actor) -> None:
    typed = {**FORM, "ports": "5432"}
    assert DATABASE in text_of(seen.post(WARNINGS, typed))
    explained = text_of(seen.post(WARNINGS, {**typed, "sources": "198.51.100.7"}))
    assert explained.startswith("198.51.100.7 can reach 5432/tcp of the host and of all containers. Now:")
    incomplete = "Complete the fields above to see what this rule will do."
    assert text_of(seen.post(WARNINGS, {**typed, "ports": "70000"})) == incomplete
    assert text_of(seen.post(WARNINGS)) == incomplete
    wide = add(host, alice, "1-9999")
    assert "Already allowed by 1-9999/tcp from anywhere to the host and containers ." in text_of(
        seen.post(WARNINGS, typed)
    )
    # A rule does not stand in its own way.
    assert "Already allowed" not in text_of(
        seen.post(f"{WARNINGS}?key={wide.key}", {**FORM, "ports": "1-9999"})
    )
    assert text_of(seen.post(f"{WARNINGS}?key=../x", typed)) == incomplete


@pytest.mark.redis
def test_the_form_of_a_stored_rule_and_a_filled_in_one_begin_with_it(
    seen: Client, host: Host, alice: Actor
) -> None:
    rule = add(host, alice, "9000")
    page = seen.get(f"{RULES}{rule.key}/edit/")
    assert "Nothing is listening on 9000/tcp now." in text_of(page)
    assert f"warnings/?key={rule.key}" in page.content.decode()
    assert DATABASE in text_of(seen.get(f"{RULES}new/?ports=5432&protocol=tcp"))
    # They stop nothing.
    answer = seen.post(f"{RULES}new/", {**FORM, "ports": "9001"})
    assert answer.status_code == 302
    assert Rule.objects.filter(ports=["9001"]).exists()


def test_without_a_snapshot_only_warnings_that_need_none_are_shown(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    add(host, alice, "9000")
    add(host, alice, "5432")
    words = text_of(signed_in.get(RULES))
    assert "Nothing is listening" not in words
    assert DATABASE in words
    assert "no rule allows it" not in words
