"""The guide to the first revision: what it proposes, what it writes into the draft, and what it keeps."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from dockerfw.messages.surroundings import ListeningSocket
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document, settings_mark
from rules.draft.rule_services import rule_create
from rules.models import AuditEvent, Host, Rule
from tests.rig.busy_host import SOCKETS, busy_store
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
START = f"{HOST}/start/"
STEPS = ("interfaces", "ssh", "services", "containers", "summary")


@pytest.fixture
def fresh(host: Host) -> Host:
    """A host of which no external interface was chosen yet."""
    host.external_interfaces = []
    host.save()
    return host


def step(name: str) -> str:
    return f"{START}{name}/"


def ticked(client: Client, name: str) -> list[str]:
    """Return the ticked interfaces of the page."""
    body = client.get(step("interfaces")).content.decode()
    return [
        part.split('"')[0]
        for part in body.split('name="external_interfaces" value="')[1:]
        if " checked>" in part[:80]
    ]


def test_access(signed_in: Client) -> None:
    for path in (START, *map(step, STEPS)):
        assert_access(path, signed_in)
    assert signed_in.get(step("elsewhere")).status_code == 404


def test_pages_keep_to_the_policy_without_a_snapshot_and_claim_nothing(signed_in: Client) -> None:
    for path in (START, *map(step, STEPS)):
        assert has_no_inline_code(signed_in.get(path))
    for name in ("interfaces", "services", "containers"):
        assert "Unknown:" in text_of(signed_in.get(step(name))), name
    assert "takes nothing from containers" not in text_of(signed_in.get(step("containers")))


@pytest.mark.redis
def test_the_interface_with_the_default_route_is_proposed(working: Client, fresh: Host) -> None:
    snapshot_store(fresh)
    page = text_of(working.get(step("interfaces")))
    assert "Proposed: the host reaches the internet by this interface" in page
    assert "docker0" in page
    assert ticked(working, "interfaces") == ["ens33"]
    answer = working.post(
        step("interfaces"), {"mark": settings_mark(fresh), "external_interfaces": ["ens33"]}
    )
    assert answer["Location"] == step("ssh")
    fresh.refresh_from_db()
    assert fresh.external_interfaces == ["ens33"]
    assert "Proposed" not in text_of(working.get(step("interfaces")))


@pytest.mark.redis
def test_an_interface_that_is_gone_or_typed_is_kept(working: Client, host: Host) -> None:
    host.external_interfaces = ["ppp0"]
    host.save()
    snapshot_store(host)
    assert 'value="ppp0"' in working.get(step("interfaces")).content.decode()
    mark = settings_mark(host)
    answer = working.post(step("interfaces"), {"mark": mark, "external_other": "wg0 not/a/name"})
    assert answer.status_code == 422
    assert 'value="wg0 not/a/name"' in answer.content.decode()
    answer = working.post(step("interfaces"), {"mark": mark})
    assert "Choose at least one interface." in text_of(answer)


@pytest.mark.redis
def test_settings_that_changed_meanwhile_are_not_overwritten_unseen(working: Client, host: Host) -> None:
    snapshot_store(host)
    old = settings_mark(host)
    host.external_interfaces = ["eth9"]
    host.save()
    form = {"mark": old, "external_interfaces": ["ens33"]}
    answer = working.post(step("interfaces"), form)
    assert answer.status_code == 422
    assert "The settings changed since you opened this page." in text_of(answer)
    host.refresh_from_db()
    assert host.external_interfaces == ["eth9"]
    again = working.post(step("interfaces"), {**form, "mark": settings_mark(host)})
    assert again.status_code == 302


def test_ssh_from_my_address(signed_in: Client, host: Host) -> None:
    signed_in.defaults["REMOTE_ADDR"] = "203.0.113.7"
    assert "My address, 203.0.113.7" in text_of(signed_in.get(step("ssh")))
    for _ in range(2):
        assert signed_in.post(step("ssh"), {"who": "me"})["Location"] == step("services")
    (rule,) = draft_document(host).rules
    assert (rule.scope, rule.sources, rule.protocol, rule.ports) == (
        "host",
        ("203.0.113.7/32",),
        "tcp",
        ("22",),
    )
    assert AuditEvent.objects.filter(verb="rule-create").count() == 1
    assert "In the draft" in text_of(signed_in.get(step("ssh")))


@pytest.mark.redis
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "on the host itself or through a tunnel"),
        ("192.0.2.1", "from the host's own address 192.0.2.1"),
        ("fe80::1", "valid on one network segment only"),
        ("", "dockerfw does not see the address"),
    ],
)
def test_an_address_that_is_unknown_is_not_offered(
    working: Client, host: Host, address: str, words: str
) -> None:
    snapshot_store(host)
    working.defaults["REMOTE_ADDR"] = address
    page = text_of(working.get(step("ssh")))
    assert words in page
    assert "My address" not in page
    assert working.post(step("ssh"), {"who": "me"}).status_code == 422
    assert not Rule.objects.exists()


def test_ssh_from_a_network_keeps_what_was_typed(signed_in: Client, host: Host) -> None:
    answer = signed_in.post(step("ssh"), {"who": "network", "network": "203.0.113.0/240 <b>"})
    assert answer.status_code == 422
    assert "203.0.113.0/240 &lt;b&gt;" in answer.content.decode()
    assert "Type an address or a network" in text_of(signed_in.post(step("ssh"), {"who": "network"}))
    assert signed_in.post(step("ssh"), {"who": "network", "network": "203.0.113.0/24"}).status_code == 302
    assert draft_document(host).rules[0].sources == ("203.0.113.0/24",)


@pytest.mark.redis
def test_services_of_the_host_become_rules(working: Client, host: Host) -> None:
    busy_store(host)
    page = text_of(working.get(step("services")))
    assert "8080/tcp" in page
    assert "Today reachable from anywhere" in page
    assert "22/tcp" not in page
    body = working.get(step("services")).content.decode()
    keys = [part.split('"')[0] for part in body.split('name="services" value="')[1:]]
    shop = next(key for key in keys if key.startswith("tcp-8080-"))
    answer = working.post(step("services"), {"services": [shop], "sources": "192.0.2.0/240"})
    assert answer.status_code == 422
    assert 'value="192.0.2.0/240"' in answer.content.decode()
    assert not Rule.objects.exists()
    for _ in range(2):
        assert (
            working.post(step("services"), {"services": [shop], "sources": "192.0.2.0/24"}).status_code == 302
        )
    (rule,) = draft_document(host).rules
    assert (rule.scope, rule.ports, rule.sources) == ("container", ("8080",), ("192.0.2.0/24",))
    assert "In the draft:" in text_of(working.get(step("services")))


@pytest.mark.redis
def test_a_service_that_is_gone_adds_no_rule(working: Client, host: Host) -> None:
    busy_store(host)
    answer = working.post(step("services"), {"services": ["tcp-1-host-"]})
    assert answer.status_code == 422
    assert "not in the list any more" in text_of(answer)
    assert not Rule.objects.exists()


@pytest.mark.redis
def test_what_containers_reach_today_is_kept_as_ticked(working: Client, host: Host) -> None:
    database = ListeningSocket(4, "tcp", "", 3306, process="mysqld", pid=9, unit="mysql.service")
    busy_store(host, sockets=(*SOCKETS, database))
    page = working.get(step("containers"))
    assert "Containers reach these services of the host today." in text_of(page)
    keys = dict(re.findall(r'name="services" value="([^"]+)"[^>]*?( checked|)>', page.content.decode()))
    # Programs in containers rarely sign in to their host.
    assert keys["tcp-22-host"] == ""
    assert keys["tcp-3306-host"] == " checked"
    mark = settings_mark(host)
    form = {"mark": mark, "keep": "rules", "services": ["tcp-3306-host"]}
    assert working.post(step("containers"), {**form, "services": ["tcp-1-host"]}).status_code == 422
    assert working.post(step("containers"), form)["Location"] == step("summary")
    (rule,) = draft_document(host).rules
    assert (rule.scope, rule.ports, rule.sources) == ("host", ("3306",), ("172.17.0.0/16",))
    assert "mysqld" not in text_of(working.get(step("containers")))
    assert working.post(step("containers"), {"mark": mark, "keep": "allow"}).status_code == 302
    host.refresh_from_db()
    assert host.containers_reach_host == "allow"
    assert "Containers reach every port of this host" in text_of(working.get(step("containers")))


def test_the_guide_is_taken_up_where_it_was_left(signed_in: Client, host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    page = text_of(signed_in.get(START))
    assert "ens33" in page
    assert "from any" in page
    assert "Continue" in page
    assert "Import rules" in page
    assert "22" in text_of(signed_in.get(step("summary")))


def test_a_host_with_a_revision_needs_no_guide(signed_in: Client, host: Host, alice: Actor) -> None:
    confirm(host, alice)
    for path in (START, step("ssh")):
        assert signed_in.get(path)["Location"] == f"{HOST}/"
    assert signed_in.post(step("ssh"), {"who": "everyone"})["Location"] == f"{HOST}/"
    assert not Rule.objects.exists()
