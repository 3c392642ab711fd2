"""Other tables that filter are named on every page that shows the rules of iptables."""

from __future__ import annotations

import pytest
from django.test import Client

from dockerfw.chains.drift_sentences import FIREWALLD_IN_NFTABLES
from dockerfw.chains.sentences import describe_redirecting_tables
from rules.audit.actors import Actor
from rules.command_line import stored
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.command_fixtures import firewall
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

SENTENCE = "firewalld filters in an nftables table that iptables does not show (inet firewalld)"
PAGES = ("/", "/review/", "/exposure/", "/trace/?source=203.0.113.5&destination=host&port=22")


@pytest.fixture
def ssh(working: Client, host: Host, alice: Actor) -> None:
    """A confirmed revision that allows port 22 from anywhere."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    confirm(host, alice)


@pytest.mark.parametrize("page", PAGES)
def test_each_page_says_what_it_cannot_see(working: Client, host: Host, ssh: None, page: str) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1)
    assert "nftables table" not in text_of(working.get(f"{HOST}{page}"))
    snapshot_store(host, document, 1, age=-1, around={"foreign_tables": ("inet firewalld",)})
    assert SENTENCE in text_of(working.get(f"{HOST}{page}"))


@pytest.mark.parametrize("page", PAGES)
def test_each_page_says_where_packets_are_redirected(
    working: Client, host: Host, ssh: None, page: str
) -> None:
    snapshot_store(host, draft_document(host), 1, around={"redirecting_tables": ("inet web",)})
    assert describe_redirecting_tables(("inet web",)) in text_of(working.get(f"{HOST}{page}"))


def test_the_command_line_says_it_too(
    working: Client, host: Host, ssh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LOOK_SECONDS", 0.05)
    snapshot_store(host, draft_document(host), 1, around={"foreign_tables": ("inet firewalld",)})
    status = firewall("status")
    assert (status.status, SENTENCE in status.out) == (0, True)
    assert SENTENCE in firewall("exposure").err
    assert SENTENCE in firewall("trace", "203.0.113.5", "host", "--port", "22").err
    assert SENTENCE in firewall("plan").out


def test_drift_suspects_it_where_the_rules_are_gone(working: Client, host: Host, ssh: None) -> None:
    snapshot_store(host, around={"foreign_tables": ("inet firewalld",)})
    assert FIREWALLD_IN_NFTABLES in text_of(working.get(f"{HOST}/"))
