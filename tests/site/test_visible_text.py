"""Characters that a reader cannot see are escapes on every page, also in texts of earlier releases."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from dockerfw_site import visible_text
from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create
from rules.models import AuditEvent, Host, Rule
from tests.rig.confirmed import confirm
from tests.rig.web_pages import HOST

pytestmark = pytest.mark.django_db

# Documents never took the first three.
NOT_IN_DOCUMENTS = ("\u202e", "\x1b", "\u2066")
HIDDEN = ("\u200b", "\U000e0041", "\u3164")
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
OLD = f"ssh{''.join(HIDDEN)}web"
OLD_TARGET = f"for{''.join(NOT_IN_DOCUMENTS)}bob"
SHOWN = r"ssh\u200b\U000e0041\u3164web"
SHOWN_TARGET = r"for\u202e\x1b\u2066bob"


@pytest.fixture
def old(host: Host, alice: Actor) -> Rule:
    """A rule and a revision of an earlier release, which took any text."""
    rule = rule_create(host=host, actor=alice, values={**SSH, "comment": "x"})
    Rule.objects.filter(pk=rule.pk).update(comment=OLD)
    confirm(host, alice)
    AuditEvent.objects.create(actor_name=OLD, verb="sign-in", host=host, target=OLD_TARGET, detail=OLD)
    return rule


@pytest.mark.parametrize("page", ["rules/", "history/1/", "/audit/"])
def test_a_text_from_before_is_shown_with_escapes(signed_in: Client, old: Rule, page: str) -> None:
    answer = signed_in.get(page if page.startswith("/") else f"{HOST}/{page}")
    assert answer.status_code == 200
    words = answer.content.decode()
    assert SHOWN in words
    assert SHOWN_TARGET in words or page != "/audit/"
    # A form sends back what it was given: the filter of the audit log has each name.
    read = re.sub(' value="[^"]*"', "", words)
    assert not [each for each in (*HIDDEN, *NOT_IN_DOCUMENTS) if each in read]
    assert int(answer["Content-Length"]) == len(answer.content)


def test_a_form_sends_back_the_text_that_is_stored(signed_in: Client, old: Rule) -> None:
    words = signed_in.get(f"{HOST}/rules/{old.key}/edit/").content.decode()
    assert f'value="{OLD}"' in words
    assert SHOWN not in words


def test_ordinary_texts_of_all_languages_stay_as_they_are(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    text = "Büro, κέντρο, مكتب, 事務所, naïve café №1"
    rule_create(host=host, actor=alice, values={**SSH, "comment": text})
    assert text in signed_in.get(f"{HOST}/rules/").content.decode()


def test_a_page_without_such_characters_is_not_taken_apart(
    signed_in: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule_create(host=host, actor=alice, values={**SSH, "comment": "Büro, 事務所"})
    monkeypatch.delattr(visible_text, "make_visible")
    assert "事務所" in signed_in.get(f"{HOST}/rules/").content.decode()


def test_of_a_page_only_unusual_characters_are_looked_at(
    signed_in: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule_create(host=host, actor=alice, values={**SSH, "comment": "Büro, 事務所"})
    asked: list[str] = []
    monkeypatch.setattr(visible_text, "is_hidden", lambda character: asked.append(character))
    signed_in.get(f"{HOST}/rules/")
    assert set("ü事務所") <= set(asked)
    assert not any(character.isascii() for character in asked)
    assert len(asked) < 20
