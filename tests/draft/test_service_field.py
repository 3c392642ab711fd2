"""The field "Service or container", the ports beside the form, and who reaches a typed rule's ports now."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from dockerfw.messages.surroundings import Container, ListeningSocket, PublishedPort
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.draft.service_selectors import CATALOGUE, find_choice
from rules.models import Host, Rule
from tests.draft.test_rule_form import FORM, NEW
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
WARNINGS = f"{HOST}/rules/warnings/"
HOSTILE = '"><script>x</script>'
AROUND: dict[str, Any] = {
    "sockets": (
        ListeningSocket(4, "tcp", "", 22, process="sshd", unit="ssh.service"),
        ListeningSocket(4, "tcp", "127.0.0.1", 631, process="cupsd"),
    ),
    "published": (
        PublishedPort(4, "tcp", "", 8443, "172.17.0.2", 443),
        PublishedPort(4, "tcp", "", 5432, "172.17.0.3", 5432),
    ),
    "containers": (
        Container("a" * 12, "shop-web-1", "shop", "web", addresses=("172.17.0.2",)),
        Container("b" * 12, "shop-db-1", "shop", "db", addresses=("172.17.0.3",)),
        Container("c" * 12, HOSTILE),
        Container("d" * 12, "metrics", network_mode="host"),
    ),
}


@pytest.fixture
def seen(working: Client, host: Host) -> Client:
    """A host with an sshd, two published ports and containers, whose kernel refuses everything."""
    snapshot_store(host, draft_document(host), 1, around=AROUND)
    return working


def labels(client: Client) -> list[str]:
    """Return what the field offers, without the catalogue."""
    listed = (
        client.get(NEW).content.decode().partition('id="service-choices">')[2].partition("</datalist>")[0]
    )
    known = {each.label for each in CATALOGUE}
    return [text for each in re.findall(r'value="([^"]*)"', listed) if (text := unescape(each)) not in known]


def chosen(client: Client, text: str, **typed: str) -> dict[str, object]:
    """Return the fields of the form after the button beside the field was pressed."""
    page = client.post(NEW, {**FORM, **typed, "service": text, "fill": "yes"})
    assert page.status_code == 200
    form = page.context["form"]
    names = ("scope", "protocol", "ports", "container", "comment", "sources")
    return {name: form[name].value() for name in names}


@pytest.mark.redis
def test_it_offers_what_the_host_has_then_common_services(seen: Client) -> None:
    assert labels(seen) == [
        "sshd \u00b7 SSH 22/tcp",
        "shop/db \u00b7 PostgreSQL 5432/tcp",
        "shop/web \u00b7 HTTPS 8443/tcp",
        f"{HOSTILE} \u00b7 container",
    ]
    page = seen.get(NEW)
    assert has_no_inline_code(page)
    assert "<script>x" not in page.content.decode()


def test_without_a_snapshot_it_offers_common_services(signed_in: Client) -> None:
    assert labels(signed_in) == []
    words = text_of(signed_in.get(NEW))
    assert "the root worker has not reported what listens here" in words
    assert chosen(signed_in, "wireguard")["ports"] == "51820"


@pytest.mark.redis
def test_the_button_fills_the_form_and_saves_nothing(seen: Client) -> None:
    filled = chosen(seen, "shop/db \u00b7 PostgreSQL 5432/tcp", sources="@office", comment="")
    assert filled == {
        "scope": "container",
        "protocol": "tcp",
        "ports": "5432",
        "container": "shop/db",
        "comment": "PostgreSQL shop/db",
        "sources": "@office",
    }
    assert chosen(seen, "SSH", scope="host")["scope"] == "host"
    assert (chosen(seen, "8443/udp")["ports"], chosen(seen, "8443/udp")["protocol"]) == ("8443", "udp")
    assert chosen(seen, HOSTILE)["container"] == HOSTILE
    page = seen.post(NEW, {**FORM, "service": "nonsense", "fill": "yes"})
    assert "No service, port or container of this name" in text_of(page)
    assert 'value="nonsense"' in page.content.decode()
    assert page.context["form"]["ports"].value() == FORM["ports"]
    assert seen.post(NEW, {"fill": "yes", "service": "\x00" * 900}).status_code == 200
    assert not Rule.objects.exists()


@pytest.mark.redis
def test_it_fills_the_form_of_a_stored_rule_too(seen: Client, host: Host, alice: Actor) -> None:
    rule = rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    page = seen.post(
        f"{HOST}/rules/{rule.key}/edit/", {**FORM, "version": "1", "service": "443", "fill": "x"}
    )
    assert (page.context["form"]["ports"].value(), page.context["key"]) == ("443", rule.key)
    assert 'name="version" value="1"' in page.content.decode()
    rule.refresh_from_db()
    assert rule.ports == ["22"]


@pytest.mark.parametrize(
    ("text", "ports"),
    [("ssh", "22"), ("22", "22"), (" 80-90 / TCP ", "80-90"), ("grafana", "3000"), ("prometheus", "9090")],
)
def test_a_name_or_a_port_is_enough(text: str, ports: str) -> None:
    found = find_choice(text, CATALOGUE)
    assert found is not None
    assert found.values["ports"] == ports


@pytest.mark.parametrize("text", ["", "  ", "70000", "90-80", "docker", "nothing like it", "22/icmp"])
def test_what_fits_nothing_or_several_is_no_choice(text: str) -> None:
    assert find_choice(text, CATALOGUE) is None


@pytest.mark.redis
def test_the_list_beside_the_form_says_which_ports_have_a_rule(
    seen: Client, host: Host, alice: Actor
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    snapshot_store(host, draft_document(host), 1, around=AROUND)
    words = text_of(seen.get(NEW))
    assert "22/tcp sshd rule" in words
    assert "5432/tcp shop/db no rule" in words
    assert "631/tcp" not in words


@pytest.mark.redis
def test_the_preview_says_who_reaches_it_now(seen: Client, host: Host, alice: Actor) -> None:
    group_create(host=host, actor=alice, name="office", values={"entries": ["203.0.113.0/24", "192.0.2.7"]})
    typed = {**FORM, "scope": "container", "container": "shop/db", "ports": "5432", "sources": "@office"}
    words = text_of(seen.post(WARNINGS, typed))
    assert words.startswith(
        "@office (2 networks) can reach 5432/tcp of container shop/db. Now: not reachable from outside."
    )
    snapshot_store(host, None, around=AROUND)
    assert "Now: reachable from anywhere." in text_of(seen.post(WARNINGS, typed))
    assert "Complete the fields above" in text_of(seen.post(WARNINGS, {**typed, "ports": "70000"}))
    # Nothing listens there, which a warning says.
    assert "Now:" not in text_of(seen.post(WARNINGS, {**typed, "ports": "7777", "container": ""}))


@pytest.mark.redis
def test_what_is_unknown_is_amber_with_the_reason(seen: Client, host: Host) -> None:
    typed = {**FORM, "ports": "5432"}
    snapshot_store(host, draft_document(host), 1, around=AROUND, age=600)
    old = seen.post(WARNINGS, typed)
    assert "Who reaches this now is unknown: The kernel's rules were read 10 minutes ago." in text_of(old)
    assert 'class="reach unclear' in old.content.decode()
    snapshot_store(host, draft_document(host), 1, around=AROUND, age=40)
    assert "As of 40 seconds ago: not reachable from outside." in text_of(seen.post(WARNINGS, typed))
    snapshot_store(host, draft_document(host), 1, around={**AROUND, "docker_state": "nftables"})
    hidden = seen.post(WARNINGS, typed)
    assert "Now: unknown who reaches it: Docker keeps its rules in its own nftables tables" in text_of(hidden)
    assert 'class="reach unclear' in hidden.content.decode()


def test_without_a_report_the_preview_says_so(signed_in: Client) -> None:
    assert "Who reaches this now is unknown:" in text_of(signed_in.post(WARNINGS, {**FORM, "ports": "22"}))


def test_save_and_add_another_keeps_the_way_back(signed_in: Client) -> None:
    back = f"{HOST}/rules/?page=2"
    answer = signed_in.post(NEW, {**FORM, "back": back, "another": "yes"})
    assert answer.status_code == 302
    assert Rule.objects.count() == 1
    again = signed_in.get(answer["Location"])
    assert f'href="{back}"' in again.content.decode()
    assert "Added to the draft: 22, 8000-8010/tcp" in text_of(again)


@pytest.mark.redis
def test_my_address_is_offered_where_it_means_the_browser(seen: Client, host: Host) -> None:
    def offered(address: str) -> bool:
        page = seen.get(NEW, REMOTE_ADDR=address).content.decode()
        return f'data-source="{address}"' in page

    assert offered("198.51.100.20")
    assert not offered("127.0.0.1")
    # An address of the host is docker-proxy's, or the end of a tunnel.
    assert not offered("192.0.2.1")


@pytest.mark.redis
def test_the_form_of_a_crowded_host_stays_small(working: Client, host: Host, alice: Actor) -> None:
    published = tuple(PublishedPort(4, "tcp", "", 20_000 + each, "172.17.0.2", 80) for each in range(300))
    containers = tuple(
        Container(
            f"{each:012x}", f"a-rather-long-name-of-a-project-web-{each}", "a-rather-long-name", f"web{each}"
        )
        for each in range(400)
    )
    snapshot_store(host, None, around={"published": published, "containers": containers})
    Rule.objects.bulk_create(
        Rule(host=host, key=f"k{each:05}", scope="both", protocol="tcp", ports=[str(each + 1)])
        for each in range(1000)
    )
    Host.objects.filter(pk=host.pk).update(draft_version=2)
    for name in (f"group{each}" for each in range(40)):
        group_create(host=host, actor=alice, name=name, values={"entries": ["192.0.2.7"]})
    page = working.get(NEW)
    assert len(page.content) < 100_000
    assert "Find them in the field." in text_of(page)
