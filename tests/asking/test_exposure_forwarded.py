"""Destinations behind the host on the exposure page and on the command line."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host, Rule
from tests.rig.command_fixtures import firewall
from tests.rig.confirmed import confirm
from tests.rig.machines_behind import store_machines
from tests.rig.redis_fixtures import RedisServer
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
PATH = f"{HOST}/exposure/"
REACHED = "Forwarded traffic from outside reaches 1 destination other than containers."
MACHINES = "everything forwarded to 192.168.122.0/24 (behind virbr0)"
ALLOW = "/rules/new/?scope=forwarded&amp;to=192.168.122.0%2F24&amp;protocol=any"


@pytest.fixture
def machines(host: Host, alice: Actor) -> Rule:
    """Anyone may use SSH of one machine, confirmed as revision 1."""
    values = {"scope": "forwarded", "to": "192.168.122.10", "protocol": "tcp", "ports": ["22", "2222"]}
    rule = rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    return rule


def test_before_the_first_load_they_are_open(working: Client, host: Host) -> None:
    store_machines(host)
    page = working.get(PATH)
    words = text_of(page)
    assert REACHED in words
    assert f"{MACHINES} anywhere over IPv4" in words
    assert ALLOW in page.content.decode()
    assert has_no_inline_code(page)


def test_after_it_a_rule_allows_and_others_are_offered(working: Client, host: Host, machines: Rule) -> None:
    store_machines(host, draft_document(host), 1)
    page = working.get(PATH)
    words, body = text_of(page), page.content.decode()
    rule = "22, 2222/tcp from anywhere to 192.168.122.10, forwarded"
    assert (
        f"22/tcp and 2222/tcp forwarded to 192.168.122.10 (behind virbr0) anywhere over IPv4 by {rule}"
        in words
    )
    assert f"{MACHINES} nowhere over IPv4 no rule allows it" in words
    assert f"/rules/{machines.key}/edit/" in body
    assert ALLOW in body
    # The port forward is a port of the host's, allowed by the same rule.
    assert f"anywhere over IPv4 by {rule}" in words.partition("port forward")[2]


def test_the_search_and_the_level_filter_them(working: Client, host: Host, machines: Rule) -> None:
    store_machines(host, draft_document(host), 1)
    assert MACHINES not in text_of(working.get(PATH, {"q": "sshd"}))
    assert MACHINES in text_of(working.get(PATH, {"q": "virbr0"}))
    only = text_of(working.get(PATH, {"who": "anywhere"}))
    assert "2222/tcp forwarded to 192.168.122.10" in only
    assert MACHINES not in only
    part = working.get(PATH, {"q": "virbr0"}, headers={"HX-Request": "true"}).content.decode()
    assert '<div id="exposure-forwarded" hx-swap-oob="true">' in part


def test_the_command_line_lists_them(
    transactional_db: None, host: Host, queue: RedisServer, machines: Rule
) -> None:
    store_machines(host, draft_document(host), 1)
    done = firewall("exposure")
    assert done.status == 0
    lines = done.out.splitlines()
    place = lines.index("22/tcp and 2222/tcp forwarded to 192.168.122.10 (behind virbr0)")
    assert lines[place + 1].startswith("    IPv4: anywhere (22, 2222/tcp from anywhere to 192.168.122.10")
    found = json.loads(firewall("exposure", "--json").out)["forwarded"]
    assert [(each["destination"], each["what"], each["level"]) for each in found] == [
        ("192.168.122.0/24", "everything", "nobody"),
        ("192.168.122.10/32", "22/tcp and 2222/tcp", "anywhere"),
    ]
    assert found[1]["who"][0]["rules"] == [machines.key]


def test_what_cannot_be_told_has_status_3(
    transactional_db: None, host: Host, queue: RedisServer, alice: Actor
) -> None:
    store_machines(host, accept="-A FORWARD -o virbr0 -m u32 --u32 0x0=0x0 -j ACCEPT")
    done = firewall("exposure")
    assert done.status == 3
    assert "Cannot tell who reaches 1 other destination of forwarded traffic." in done.out


def test_a_refused_trace_offers_a_rule_for_forwarded_traffic(
    working: Client, host: Host, alice: Actor
) -> None:
    confirm(host, alice)
    store_machines(host, draft_document(host), 1)

    def offered(destination: str, port: str) -> str:
        asked = {"source": "203.0.113.9", "destination": destination, "protocol": "tcp", "port": port}
        return str(working.get(f"{HOST}/trace/", {**asked, "against": "live"}).context["allow"])

    assert "?scope=forwarded&to=192.168.122.9&protocol=tcp&ports=22&" in offered("192.168.122.9", "22")
    # By the port forward: the destination is the machine, the port is the dialled one.
    assert "?scope=forwarded&to=192.168.122.10&protocol=tcp&ports=2222&" in offered("192.0.2.1", "2222")
    assert "?scope=container&protocol=tcp&ports=8080&" in offered("192.0.2.1", "8080")
    assert "?scope=container&protocol=tcp&ports=81&" in offered("172.17.0.77", "81")
    assert "?scope=host&" in offered("192.0.2.1", "22")
