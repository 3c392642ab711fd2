"""The review of a host with virtual machines: what a load cuts, and the rule that it offers."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.confirmed import confirm
from tests.rig.machines_behind import store_machines
from tests.rig.web_pages import HOST, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
PATH = f"{HOST}/review/"
MACHINES = "Everything forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable from anywhere"
FORWARD = "2222/tcp forwarded to 192.168.122.10:22 is no longer reachable from anywhere"
VMS = {"scope": "forwarded", "to": "192.168.122.0/24"}


def offers(client: Client, path: str = PATH) -> dict[str, str]:
    """Return the link of each sentence that offers a rule."""
    body = client.get(path).content.decode()
    found = re.findall(r'<a href="([^"]+)"\s+aria-label="Allow: ([^"]+)">Allow</a>', body)
    return {sentence: unescape(address) for address, sentence in found}


def test_the_first_review_names_what_it_cuts_and_offers_rules(working: Client, host: Host) -> None:
    store_machines(host)
    words = text_of(working.get(PATH))
    assert MACHINES in words
    assert FORWARD in words
    found = offers(working)
    form = working.get(found[FORWARD]).context["form"]
    names = ("scope", "to", "protocol", "ports")
    assert [form[name].value() for name in names] == ["forwarded", "192.168.122.10/32", "tcp", "2222"]
    form = working.get(found[MACHINES]).context["form"]
    assert [form[name].value() for name in names[:3]] == ["forwarded", "192.168.122.0/24", "any"]


def test_with_a_rule_nothing_of_it_is_cut(working: Client, host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values=VMS)
    store_machines(host)
    words = text_of(working.get(PATH))
    assert "192.168.122.0/24 (behind virbr0)" not in words
    assert FORWARD not in words
    assert "added: everything from anywhere to 192.168.122.0/24, forwarded" in words


def test_what_cannot_be_told_is_said(working: Client, host: Host) -> None:
    store_machines(host, accept="-A FORWARD -o virbr0 -m u32 --u32 0x0=0x0 -j ACCEPT")
    words = text_of(working.get(PATH))
    place = "cannot tell whether everything forwarded to 192.168.122.0/24 (behind virbr0) is reachable"
    assert place in words
    assert ", and the new rules refuse it" in words


def test_a_roll_back_offers_no_rule_for_the_draft(working: Client, host: Host, alice: Actor) -> None:
    confirm(host, alice)
    rule_create(host=host, actor=alice, values=VMS)
    confirm(host, alice)
    store_machines(host, draft_document(host), 2)
    path = f"{HOST}/history/1/rollback/"
    assert MACHINES in text_of(working.get(path))
    assert offers(working, path) == {}


def test_history_shows_the_destination(working: Client, host: Host, alice: Actor) -> None:
    confirm(host, alice)
    rule_create(host=host, actor=alice, values=VMS)
    confirm(host, alice)
    words = text_of(working.get(f"{HOST}/history/2/"))
    assert "everything from anywhere to 192.168.122.0/24, forwarded" in words
    assert "everything becomes reachable from anywhere at 192.168.122.0/24" in words
