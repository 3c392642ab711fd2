"""The trace page: the verdict on one packet, the deciding rule, and the rules it is tested against."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.iptables.model import Family
from dockerfw.simulation.surroundings import IpSet
from rules.asking.trace_row_selectors import lay_out
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_delete
from rules.models import Apply, Host, Rule
from tests.rig.busy_host import SOCKETS, busy_save, busy_store
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import UNREAD_6, snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of
from tests.simulation.hosts import HOST as AROUND
from tests.simulation.hosts import filtered, trace

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/trace/"
STRANGER = "203.0.113.5"


@pytest.fixture
def shop(host: Host, alice: Actor) -> Rule:
    """The published shop for all, and ssh for the office, confirmed as revision 1."""
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": "192.0.2.0/24", "comment": "office"}
    rule_create(host=host, actor=alice, values=ssh)
    values = {"scope": "container", "protocol": "tcp", "ports": ["8080"], "comment": "the shop"}
    rule = rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    return rule


def verdict(client: Client, **asked: str) -> str:
    page = client.get(PATH, asked)
    found = re.search(r'data-verdict="([A-Z]+)"', page.content.decode())
    assert found, text_of(page)
    assert page.status_code == 200
    return found[1]


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)


def test_without_a_snapshot_it_says_why(signed_in: Client) -> None:
    for query in ({}, {"source": STRANGER, "port": "22"}):
        page = signed_in.get(PATH, query)
        assert page.status_code == 200
        assert "nothing can be traced. Redis does not answer" in text_of(page)


@pytest.mark.redis
def test_the_form_offers_what_the_host_has(working: Client, host: Host, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    page = working.get(PATH, {"port": "8080", "destination": "shop-web-1"})
    body = page.content.decode()
    assert '<option value="shop-web-1">container, port 8080</option>' in body
    assert '<option value="192.0.2.1">ens33</option>' in body
    assert '<option value="ens33">ens33</option>' in body
    assert '<option value="1">Revision 1: ' in body
    assert '<option value=""></option>' not in body
    # A link may fill the form in without asking yet.
    assert 'name="port" value="8080"' in body
    assert "data-verdict" not in body
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_a_packet_that_passes_with_its_way(working: Client, host: Host, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    page = working.get(PATH, {"source": STRANGER, "destination": "shop-web-1", "port": "8080"})
    words, body = text_of(page), page.content.decode()
    assert "Allowed. tcp from 203.0.113.5 to 192.0.2.1 port 8080, arriving on ens33." in words
    assert "The packet is redirected to 172.17.0.2:80 and leaves through docker0." in words
    assert f'href="{HOST}/rules/{shop.key}/edit/"' in body
    assert "Allowed by 8080/tcp from anywhere to containers (the shop)." in words
    assert f'href="{HOST}/live/?family=4&amp;chain=v4-filter-DOCKER#v4-filter-DOCKER"' in body
    assert "Decided by rule 1 of filter DOCKER" in words
    assert "Incoming interface: ens33, the interface of the IPv4 default route." in words
    assert "Destination: the host's own address 192.0.2.1, because shop-web-1 publishes 8080." in words
    for chain in ("nat PREROUTING", "nat DOCKER", "filter DOCKER-USER", "filter FILTERS-CONTAINERS"):
        assert chain in words
    assert "1 rule does not match" in words
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_a_packet_that_is_refused_by_what_no_rule_allows(working: Client, host: Host, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    page = working.get(PATH, {"source": STRANGER, "port": "22"})
    words = text_of(page)
    assert "Rejected with icmp-host-prohibited." in words
    assert "No dockerfw rule allows it. Add a rule" in words
    way = re.search(r'href="([^"]+)">Add a rule', page.content.decode())
    assert way
    form = working.get(way[1].replace("&amp;", "&")).context["form"]
    assert [form[name].value() for name in ("scope", "protocol", "ports", "sources")] == [
        "host",
        "tcp",
        "22",
        f"{STRANGER}/32",
    ]
    assert verdict(working, source="192.0.2.77", port="22") == "ACCEPT"
    assert verdict(working, source="2001:db8::77", port="22") == "REJECT"
    assert verdict(working, source=STRANGER, protocol="icmp") == "ACCEPT"
    assert verdict(working, source="shop-db-1", destination=STRANGER, port="443") == "ACCEPT"


@pytest.mark.redis
def test_an_unknown_verdict_names_rule_and_match(working: Client, host: Host, shop: Rule) -> None:
    save = busy_save(draft_document(host), 4, 1)
    # Bytes that are not UTF-8 stand in a save as lone surrogates, which no page could be made of.
    odd = '[0:0] -A INPUT -m string --string "caf\udce9" --algo bm -j DROP\n'
    saves: dict[Family, str] = {
        4: re.sub(r"(?=\[\d+:\d+\] -A INPUT )", odd, save, count=1),
        6: busy_save(None, 6),
    }
    snapshot_store(host, saves=saves)
    page = working.get(PATH, {"source": "192.0.2.77", "port": "22"})
    assert 'data-verdict="UNKNOWN"' in page.content.decode()
    words = text_of(page)
    assert "Cannot tell." in words
    assert "--string caf\ufffd --algo bm" in words
    listening = {"sockets": SOCKETS}
    snapshot_store(host, saves=saves, around=listening)
    assert "--string caf\ufffd --algo bm" in text_of(working.get(f"{HOST}/exposure/"))


@pytest.mark.redis
@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"source": ""}, "source", "Enter a source: an address or a container name."),
        ({"source": "nobody", "port": "1"}, "source", "neither an address nor a running container"),
        ({"source": STRANGER, "port": "70000"}, "port", "70000 is not a port (1 to 65535)"),
        ({"source": STRANGER}, "port", "enter the destination port"),
        ({"source": STRANGER, "port": "1", "protocol": "tpc"}, "protocol", "did you mean tcp?"),
        ({"source": STRANGER, "port": "1", "interface": "ens34"}, "interface", "did you mean ens33?"),
        ({"source": STRANGER, "port": "1", "against": "99"}, "against", "there is no revision 99"),
        ({"source": STRANGER, "port": "1", "against": "x"}, "against", "is not live, draft, a revision"),
        ({"source": STRANGER, "port": "1", "against": "day"}, "on", "Enter a day, such as 2026-05-03."),
        ({"source": STRANGER, "port": "1", "against": "day", "on": "3 May"}, "on", "a day such as"),
        ({"source": STRANGER, "port": "1", "against": "day", "on": "2001-01-01"}, "on", "the first was on"),
        ({"source": STRANGER, "protocol": "icmp", "icmp_type": "pang"}, "icmp_type", "did you mean"),
        ({"source": STRANGER, "port": "1", "source_port": "x"}, "source_port", "x is not a port"),
        ({"source": STRANGER * 50, "port": "1"}, "source", "at most 200 characters"),
    ],
    ids=str,
)
def test_errors_stand_at_their_field_and_nothing_typed_is_lost(
    working: Client, host: Host, shop: Rule, asked: dict[str, str], field: str, said: str
) -> None:
    busy_store(host, draft_document(host), 1)
    page = working.get(PATH, asked)
    assert page.status_code == 422
    form = page.context["form"]
    assert set(form.errors) == {field}
    assert said in str(form[field].errors[0])
    assert {name: form[name].value() for name in asked} == asked
    body = page.content.decode()
    assert f'id="id_{field}_error"' in body
    assert body.index('id="answer"') < body.index('id="trace-form"')
    assert "data-verdict" not in page.content.decode()


@pytest.mark.redis
def test_odd_addresses_show_the_page(working: Client, host: Host, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    for query in (
        "source=%00",
        "source=%F0&port=1",
        "port=" + "9" * 5000,
        "source=1&source=2",
        "against=%00",
    ):
        assert working.get(f"{PATH}?{query}").status_code in (200, 422)


@pytest.mark.redis
def test_against_the_draft_and_revisions(working: Client, host: Host, alice: Actor, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    rule_delete(host=host, actor=alice, key=shop.key, version=shop.version)
    asked = {"source": STRANGER, "destination": "shop-web-1", "port": "8080"}
    assert verdict(working, **asked) == "ACCEPT"
    assert verdict(working, **asked, against="draft") == "REJECT"
    assert verdict(working, **asked, against="1") == "ACCEPT"
    page = working.get(PATH, asked)
    assert f"<code>{shop.key}</code>, which is no longer in the draft" in page.content.decode()
    words = text_of(working.get(PATH, {**asked, "against": "draft"}))
    assert "The draft as if it were applied, with the current other rules." in words
    # What was never applied can be tried all the same, on a host that holds nothing of ours.
    busy_store(host)
    assert verdict(working, **asked) == "ACCEPT"
    assert verdict(working, **asked, against="draft") == "REJECT"


@pytest.mark.redis
def test_what_was_in_force_on_a_day(working: Client, host: Host, alice: Actor, shop: Rule) -> None:
    rule_delete(host=host, actor=alice, key=shop.key, version=shop.version)
    confirm(host, alice)
    days = [datetime.datetime(2026, 5, day, 12, tzinfo=timezone.get_default_timezone()) for day in (1, 4)]
    for number, day in enumerate(days, start=1):
        Apply.objects.filter(revision__number=number).update(finished_at=day)
    busy_store(host, draft_document(host), 2)
    asked = {"source": STRANGER, "destination": "shop-web-1", "port": "8080", "against": "day"}
    page = working.get(PATH, {**asked, "on": "2026-05-03"})
    assert 'data-verdict="ACCEPT"' in page.content.decode()
    assert "Revision 1, confirmed on 1 May 2026, 12:00 and active then" in text_of(page)
    assert verdict(working, **asked, on="2026-05-04") == "REJECT"
    assert verdict(working, **asked, on="2026-05-04 11:59") == "ACCEPT"
    assert working.get(PATH, {**asked, "on": "2026-04-30"}).status_code == 422


@pytest.mark.redis
def test_an_old_look_says_so(working: Client, host: Host, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1, age=300)
    words = text_of(working.get(PATH, {"source": STRANGER, "port": "22"}))
    assert "Read from the kernel 5 min ago. The root worker has not reported since." in words


@pytest.mark.redis
def test_a_family_that_could_not_be_read_is_reported(working: Client, host: Host, shop: Rule) -> None:
    saves: dict[Family, str] = {4: busy_save(draft_document(host), 4, 1), 6: ""}
    snapshot_store(host, saves=saves)
    assert verdict(working, source="2001:db8::77", port="22") == "ACCEPT"
    assert verdict(working, source="2001:db8::77", port="22", against="draft") == "REJECT"
    snapshot_store(host, saves=saves, around={"errors": UNREAD_6})
    assert verdict(working, source="192.0.2.77", port="22") == "ACCEPT"
    page = working.get(PATH, {"source": "2001:db8::77", "port": "22"})
    assert page.status_code == 422
    assert "the rules of IPv6 could not be read on the host" in text_of(page)


@pytest.mark.redis
def test_ten_thousand_rules_stay_a_small_page(working: Client, host: Host, shop: Rule) -> None:
    bans = "".join(
        f"[0:0] -A INPUT -s 198.18.{number >> 8}.{number & 255}/32 -j DROP\n" for number in range(10_000)
    )
    save = busy_save(draft_document(host), 4, 1)
    saves: dict[Family, str] = {
        4: re.sub(r"(?=\[\d+:\d+\] -A INPUT )", bans, save, count=1),
        6: busy_save(None, 6),
    }
    snapshot_store(host, saves=saves)
    page = working.get(PATH, {"source": "192.0.2.77", "port": "22"})
    assert "Allowed." in text_of(page)
    assert len(page.content) < 100_000
    banned = working.get(PATH, {"source": "198.18.39.15", "port": "22", "interface": "ens33"})
    assert "Dropped without a reply." in text_of(banned)
    assert "chain=v4-filter-INPUT&amp;page=100#v4-filter-INPUT" in banned.content.decode()


def test_a_line_with_a_static_set_names_the_rules_on_the_member() -> None:
    name = "dockerfw4-s0123456789abcdef0123"
    found = IpSet(
        name, "hash:net", ('203.0.113.0/24 packets 3 bytes 180 comment "a1c2 k3f9"',), "family inet"
    )
    rules = filtered(f"-A INPUT -m set --match-set {name} src -j ACCEPT", "-A INPUT -j DROP")
    around = replace(AROUND, sets={name: found})
    rows = lay_out(trace(rules, surroundings=around), around.sets)
    assert rows.allowed_by is not None
    assert (rows.allowed_by.rule_key, rows.allowed_by.rule_keys) == ("a1c2", ("a1c2", "k3f9"))
    assert lay_out(trace(rules, surroundings=around, source="192.0.2.9")).allowed_by is None


@pytest.mark.redis
def test_a_rule_by_name_opens_its_container_and_says_what_its_set_holds(
    working: Client, host: Host, alice: Actor
) -> None:
    values = {"scope": "container", "protocol": "tcp", "ports": ["8080"], "container": "shop-web-1"}
    rule_create(host=host, actor=alice, values=values)
    other = {**values, "ports": ["5432"]}
    rule_create(host=host, actor=alice, values=other)
    busy_store(host, draft_document(host), 1)
    asked = {"source": STRANGER, "destination": "192.0.2.1", "against": "draft"}
    page = text_of(working.get(PATH, {**asked, "port": "8080"}))
    assert verdict(working, **asked, port="8080") == "ACCEPT"
    assert "to container shop-web-1" in page
    # Another container publishes this one.
    assert verdict(working, **asked, port="5432") == "REJECT"
    assert "port 5432/tcp that shop-web-1 publishes" in text_of(working.get(PATH, {**asked, "port": "5432"}))
