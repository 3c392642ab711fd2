"""The form of a rule: errors at their field, nothing typed lost, two admins on the same rule."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.utils import timezone

from dockerfw.document import sentences
from dockerfw.document.document import load_document
from dockerfw.messages.surroundings import Container
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create, rule_delete, rule_update
from rules.models import Host, Rule
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
NEW = f"{HOST}/rules/new/"
FORM = {
    "scope": "both",
    "protocol": "tcp",
    "protocol_other": "",
    "ports": "22, 8000 - 8010",
    "port_kind": "published",
    "sources": "",
    "comment": "ssh and previews",
    "enabled": "on",
}


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Rule:
    """A rule that two admins edit."""
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
    return rule_create(host=host, actor=alice, values=values)


def test_access(signed_in: Client, ssh: Rule) -> None:
    for path in (NEW, f"{HOST}/rules/{ssh.key}/edit/"):
        assert_access(path, signed_in, methods="get post")
    assert_access(f"{HOST}/rules/echo/", signed_in)


def test_a_rule_is_added(signed_in: Client) -> None:
    answer = signed_in.post(NEW, FORM)
    rule = Rule.objects.get()
    assert answer["Location"] == f"{HOST}/rules/#rule-{rule.key}"
    assert (rule.scope, rule.sources, rule.ports, rule.enabled) == ("both", [], ["22", "8000-8010"], True)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({}, "Enter ports, or tick Every port."),
        ({"protocol": "other", "protocol_other": "6"}, "Enter ports, or tick Every port."),
        ({"protocol": "any"}, "Tick Every port to allow every protocol with all ports"),
        ({"ports": "22", "every_port": "on"}, "Remove the tick to allow only these ports"),
    ],
    ids=str,
)
def test_every_port_is_never_opened_by_an_empty_field(
    signed_in: Client, typed: dict[str, str], error: str
) -> None:
    page = signed_in.post(NEW, {**FORM, "ports": "", **typed})
    assert page.status_code == 422
    assert error in text_of(page)
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    "typed",
    [
        {"every_port": "on"},
        {"ports": "all"},
        {"every_port": "on", "protocol": "any"},
        {"protocol": "icmp"},
        {"protocol": "other", "protocol_other": "gre"},
    ],
    ids=str,
)
def test_a_tick_opens_every_port_and_stays_in_the_form(signed_in: Client, typed: dict[str, str]) -> None:
    assert signed_in.post(NEW, {**FORM, "ports": "", **typed}).status_code == 302
    rule = Rule.objects.get()
    assert rule.ports == []
    edit = f"{HOST}/rules/{rule.key}/edit/"
    ticked = bool(signed_in.get(edit).context["form"]["every_port"].value())
    assert ticked is (rule.protocol in ("tcp", "any"))
    again = {**FORM, **typed, "ports": "", "version": "1", **({"every_port": "on"} if ticked else {})}
    assert signed_in.post(edit, again).status_code == 302


def first_fields(client: Client, **asked: str) -> dict[str, object]:
    """Return the initial values of the form for a link with these fields."""
    form = client.get(NEW, asked).context["form"]
    return {
        name: form[name].value() for name in ("scope", "protocol", "ports", "port_kind", "sources", "comment")
    }


def test_a_link_fills_the_form_in(signed_in: Client) -> None:
    asked = {
        "scope": "container",
        "protocol": "udp",
        "ports": "53, 8000 - 8010",
        "port_kind": "container",
        "sources": "192.0.2.7",
        "comment": "dns",
    }
    wanted = {**asked, "ports": "53, 8000-8010", "sources": "192.0.2.7/32"}
    assert first_fields(signed_in, **asked) == wanted
    page = signed_in.get(NEW, {"protocol": "47"})
    assert (page.context["form"]["protocol"].value(), page.context["form"]["protocol_other"].value()) == (
        "other",
        "gre",
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"scope": "everywhere"},
        {"ports": "22, 70000"},
        {"ports": "<script>"},
        {"sources": "192.0.2.300"},
        {"protocol": "nonsense"},
        {"port_kind": "x"},
        {"comment": "a\u202eb"},
        {"comment": "\x00"},
        {"ports": "1" * 5000},
    ],
    ids=str,
)
def test_what_no_rule_could_hold_is_left_out(signed_in: Client, asked: dict[str, str]) -> None:
    assert first_fields(signed_in, **asked) == first_fields(signed_in)


def test_another_protocol_goes_by_name_or_number(signed_in: Client) -> None:
    signed_in.post(NEW, {**FORM, "protocol": "other", "protocol_other": " GRE ", "ports": ""})
    assert Rule.objects.get().protocol == "gre"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("ports", "22, 70000", "70000 is not a port (1 to 65535)"),
        ("sources", "192.0.2.300", "192.0.2.300"),
        ("comment", "a\u202eb", "U+202E"),
        ("comment", "a\u200bb", "U+200B"),
        ("comment", "tag \U000e0041", "U+E0041"),
        ("protocol_other", "nonsense", "nonsense"),
    ],
)
def test_errors_stand_at_their_field_and_keep_what_was_typed(
    signed_in: Client, field: str, value: str, said: str
) -> None:
    extra = {"protocol": "other", "ports": ""} if field == "protocol_other" else {}
    page = signed_in.post(NEW, {**FORM, **extra, field: value})
    assert page.status_code == 422
    body = page.content.decode()
    kept = rf'name="{field}"[^>]*(value="{re.escape(value)}"|>\s*{re.escape(value)}<)'
    assert re.search(kept, body)
    assert 'value="ssh and previews"' in body or field == "comment"
    error = re.search(rf'id="id_{field}_error">(.*?)</ul>', body, re.DOTALL)
    assert error is not None, f"no error at {field}"
    assert said in error[1]
    assert 'aria-invalid="true"' in body
    assert not Rule.objects.exists()
    assert has_no_inline_code(page)


def test_dccp_of_a_container_by_name_is_refused_at_its_field(signed_in: Client) -> None:
    named = {**FORM, "scope": "container", "container": "db", "protocol": "dccp", "ports": "5001"}
    page = signed_in.post(NEW, named)
    assert page.status_code == 422
    body = page.content.decode()
    error = re.search(r'id="id_protocol_error">(.*?)</ul>', body, re.DOTALL)
    assert error is not None
    assert "dccp of a container by name cannot be followed: use tcp, udp or sctp" in error[1]
    assert 'value="5001"' in body
    assert 'value="db"' in body
    assert not Rule.objects.exists()


def test_a_container_port_for_the_host_is_refused_at_its_field(signed_in: Client) -> None:
    page = signed_in.post(NEW, {**FORM, "scope": "host", "port_kind": "container"})
    assert page.status_code == 422
    assert "Nothing was saved" in text_of(page)


@pytest.mark.parametrize("missing", ["scope", "protocol", "port_kind"])
def test_a_form_without_a_field_is_refused(signed_in: Client, missing: str) -> None:
    data = {name: value for name, value in FORM.items() if name != missing}
    assert signed_in.post(NEW, data).status_code == 422


def test_a_copy_and_a_service_fill_the_form(signed_in: Client, ssh: Rule) -> None:
    assert 'value="22"' in signed_in.get(NEW, {"copy": ssh.key}).content.decode()
    assert 'value="51820"' in signed_in.get(NEW, {"service": "WireGuard"}).content.decode()
    assert signed_in.get(NEW, {"copy": "none", "service": "none"}).status_code == 200


def test_the_echo_says_what_a_network_covers(signed_in: Client) -> None:
    def echo(sources: str) -> str:
        return signed_in.get(f"{HOST}/rules/echo/", {"sources": sources}).content.decode()

    assert echo("10.9.9.0/24").startswith("256 addresses, 10.9.9.0 to 10.9.9.255")
    assert echo("") == "Any source, IPv4 and IPv6."
    assert echo("10.9.9.1, @office") == "2 sources."
    assert echo("@office") == "The group @office."
    assert echo("10.9.9") == "Not a valid address, network or group yet."
    assert "<" not in echo("<script>")


def test_an_edit_is_saved(signed_in: Client, ssh: Rule) -> None:
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    assert 'name="version" value="1"' in signed_in.get(edit).content.decode()
    signed_in.post(edit, {**FORM, "version": "1", "ports": "2222"})
    ssh.refresh_from_db()
    assert (ssh.ports, ssh.version) == (["2222"], 2)


def test_two_admins_on_one_rule_see_the_conflict_and_lose_nothing(
    signed_in: Client, host: Host, ssh: Rule, bob: Actor
) -> None:
    rule_update(host=host, actor=bob, key=ssh.key, version=1, values={"ports": ["2200"]})
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    page = signed_in.post(edit, {**FORM, "version": "1", "ports": "2222"})
    assert page.status_code == 409
    assert "This rule was changed while you edited it" in text_of(page)
    assert "Ports 2200 2222 differs" in text_of(page)
    assert 'value="2222"' in page.content.decode()
    assert 'name="version" value="2"' in page.content.decode()
    ssh.refresh_from_db()
    assert ssh.ports == ["2200"]
    signed_in.post(edit, {**FORM, "version": "2", "ports": "2222"})
    ssh.refresh_from_db()
    assert ssh.ports == ["2222"]


def opened(page: HttpResponseBase) -> str:
    """Return the hidden values with which a form was opened."""
    found = re.search(r'name="opened" value="([^"]*)"', getattr(page, "content", b"").decode())
    assert found is not None
    return unescape(found[1])


def test_edits_of_different_fields_are_both_kept(
    signed_in: Client, host: Host, ssh: Rule, bob: Actor
) -> None:
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    before = opened(signed_in.get(edit))
    rule_update(host=host, actor=bob, key=ssh.key, version=1, values={"source": "192.0.2.7"})
    mine = {**FORM, "scope": "host", "comment": "ssh", "version": "1", "ports": "2222", "opened": before}
    page = signed_in.post(edit, mine, follow=True)
    assert page.redirect_chain == [(f"{HOST}/rules/#rule-{ssh.key}", 302)]
    assert "Another edit was saved meanwhile. Its changes are kept: Sources 192.0.2.7/32." in text_of(page)
    ssh.refresh_from_db()
    assert (ssh.ports, ssh.sources, ssh.version) == (["2222"], ["192.0.2.7/32"], 3)


def test_only_fields_that_both_changed_collide(signed_in: Client, host: Host, ssh: Rule, bob: Actor) -> None:
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    before = opened(signed_in.get(edit))
    values = {"ports": ["2200"], "comment": "moved by bob", "protocol": "udp", "enabled": False}
    rule_update(host=host, actor=bob, key=ssh.key, version=1, values=values)
    mine = {**FORM, "scope": "host", "comment": "ssh", "version": "1", "ports": "2222", "opened": before}
    page = signed_in.post(edit, mine)
    assert page.status_code == 409
    assert text_of(page).count("differs") == 1
    form = page.context["form"]
    wanted = {"ports": "2222", "comment": "moved by bob", "protocol": "udp", "enabled": None}
    assert {name: form[name].value() or None for name in wanted} == wanted
    ssh.refresh_from_db()
    assert ssh.ports == ["2200"]
    saved = signed_in.post(edit, {**form.data.dict(), "opened": opened(page)})
    assert saved.status_code == 302
    ssh.refresh_from_db()
    assert (ssh.ports, ssh.comment, ssh.protocol, ssh.enabled) == (["2222"], "moved by bob", "udp", False)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 5000, '{"ports": 1', "x" * 30_000])
def test_without_the_opened_values_every_difference_collides(
    signed_in: Client, host: Host, ssh: Rule, bob: Actor, text: str
) -> None:
    rule_update(host=host, actor=bob, key=ssh.key, version=1, values={"source": "192.0.2.7"})
    mine = {**FORM, "scope": "host", "comment": "ssh", "version": "1", "ports": "2222", "opened": text}
    assert signed_in.post(f"{HOST}/rules/{ssh.key}/edit/", mine).status_code == 409
    ssh.refresh_from_db()
    assert ssh.sources == ["192.0.2.7/32"]


def test_a_merge_that_is_no_valid_rule_is_shown(signed_in: Client, host: Host, ssh: Rule, bob: Actor) -> None:
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    before = opened(signed_in.get(edit))
    rule_update(host=host, actor=bob, key=ssh.key, version=1, values={"ports": ["22", "23"]})
    mine = {**FORM, "scope": "host", "comment": "ssh", "version": "1", "protocol": "icmp", "ports": "22"}
    page = signed_in.post(edit, {**mine, "opened": before})
    assert page.status_code == 409
    ssh.refresh_from_db()
    assert ssh.protocol == "tcp"


def test_a_rule_removed_meanwhile_can_be_added_again(
    signed_in: Client, host: Host, ssh: Rule, bob: Actor
) -> None:
    rule_delete(host=host, actor=bob, key=ssh.key, version=1)
    edit = f"{HOST}/rules/{ssh.key}/edit/"
    page = signed_in.post(edit, {**FORM, "version": "1", "ports": "2222"})
    assert page.status_code == 409
    assert "This rule was removed while you edited it" in text_of(page)
    assert f'action="{NEW}"' in page.content.decode()
    assert signed_in.get(edit)["Location"] == f"{HOST}/rules/"
    signed_in.post(NEW, {**FORM, "version": "", "ports": "2222"})
    assert Rule.objects.get().ports == ["2222"]


FORWARDED = {**FORM, "scope": "forwarded", "ports": "22", "to": " 192.168.122.9/24 "}


def test_a_rule_for_forwarded_traffic_has_a_destination(signed_in: Client, host: Host) -> None:
    signed_in.post(NEW, FORWARDED)
    rule = Rule.objects.get()
    assert (rule.scope, rule.to) == ("forwarded", "192.168.122.0/24")
    assert [(each.scope, each.to) for each in draft_document(host).rules] == [("forwarded", rule.to)]
    row = text_of(signed_in.get(f"{HOST}/rules/"))
    assert "Forwarded to 192.168.122.0/24" in row
    edit = signed_in.get(f"{HOST}/rules/{rule.key}/edit/").content.decode()
    assert 'name="to" value="192.168.122.0/24"' in edit
    signed_in.post(f"{HOST}/rules/{rule.key}/edit/", {**FORWARDED, "to": "10.0.0.7", "version": rule.version})
    rule.refresh_from_db()
    assert rule.to == "10.0.0.7/32"
    assert "Destination" in text_of(signed_in.get("/audit/"))
    # The document of such a draft is of the newer format, which is read back the same.
    exported = signed_in.get(f"{HOST}/export/").content
    assert b'"dockerfw/2"' in exported
    assert load_document(exported) == draft_document(host)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"to": ""}, sentences.MISSING_DESTINATION),
        ({"to": "any"}, sentences.EVERY_DESTINATION),
        ({"to": "nowhere"}, sentences.not_an_address("nowhere")),
        ({"sources": "2001:db8::/32"}, sentences.families_differ("2001:db8::/32", "192.168.122.0/24")),
    ],
    ids=str,
)
def test_an_error_of_the_destination_is_at_its_field(
    signed_in: Client, typed: dict[str, str], error: str
) -> None:
    page = signed_in.post(NEW, {**FORWARDED, **typed})
    assert page.status_code == 422
    assert error in unescape(page.content.decode())
    assert re.search(r'<input[^>]*name="to"[^>]*aria-invalid="true"', page.content.decode())
    assert not Rule.objects.exists()


def test_a_link_fills_the_destination(signed_in: Client) -> None:
    link = {"scope": "forwarded", "to": "192.168.122.10", "protocol": "tcp", "ports": "80"}
    assert 'name="to" value="192.168.122.10/32"' in signed_in.get(NEW, link).content.decode()
    assert 'name="to" value=' not in signed_in.get(NEW, {**link, "to": "any"}).content.decode()


FULL = {
    **FORM,
    "action": "allow",
    "scope": "host",
    "sources": "",
    "limit_number": "6",
    "limit_unit": "minute",
    "starts": "",
    "expires": "2037-01-31T18:00Z",
    "interface": "wg0",
    "to": "192.0.2.1",
    "owner": "ops",
    "ticket": "OPS-7",
    "tags": "web, Shop",
}


def test_every_field_of_a_rule_is_stored_and_comes_back(signed_in: Client) -> None:
    assert signed_in.post(NEW, FULL).status_code == 302
    rule = Rule.objects.get()
    assert (rule.limit, rule.expires, rule.interface) == ("6/minute", "2037-01-31T18:00:00Z", "wg0")
    assert (rule.to, rule.owner, rule.ticket, rule.tags) == ("192.0.2.1/32", "ops", "OPS-7", ["shop", "web"])
    page = signed_in.get(f"{HOST}/rules/{rule.key}/edit/")
    form = page.context["form"]
    assert has_no_inline_code(page)
    assert (form["limit_number"].value(), form["limit_unit"].value()) == ("6", "minute")
    assert form["tags"].value() == "shop, web"
    assert '<details class="advanced field" open>' in page.content.decode()
    sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    edit = f"{HOST}/rules/{rule.key}/edit/"
    assert signed_in.post(edit, {**sent, "expires": "", "limit_number": ""}).status_code == 302
    rule.refresh_from_db()
    assert (rule.limit, rule.expires, rule.interface, rule.version) == ("", "", "wg0", 2)


def test_the_folded_part_opens_for_an_error_alone(signed_in: Client) -> None:
    assert '<details class="advanced field">' in signed_in.get(NEW).content.decode()
    page = signed_in.post(NEW, {**FORM, "starts": "2027-01-31 18:00"})
    assert page.status_code == 422
    assert "has no time zone" in text_of(page)
    assert '<details class="advanced field" open>' in page.content.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"sources": "@ofice"}, "there is no group @ofice"),
        ({"limit_number": "many"}, "many is not a limit"),
        ({"limit_number": "0"}, "0 is out of range for a limit"),
        ({"action": "block", "limit_number": "6"}, "a block has no limit"),
        ({"expires": "2099-01-01T00:00Z"}, "the latest time that the kernel knows"),
        ({"starts": "2030-01-02T00:00Z", "expires": "2030-01-01T00:00Z"}, "ends before it starts"),
        ({"interface": "eth7"}, "eth7 is none of them"),
        ({"container": "shop/db"}, "only a rule with the scope container names a container"),
        ({"scope": "container", "container": "a b"}, "does not name a container"),
        ({"tags": "web, ?"}, "? is not a tag"),
        ({"owner": "a\u202eb"}, "U+202E"),
    ],
    ids=str,
)
def test_each_new_field_has_its_error(signed_in: Client, typed: dict[str, str], said: str) -> None:
    page = signed_in.post(NEW, {**FORM, **typed})
    assert page.status_code == 422
    assert said in text_of(page)
    assert page.context["form"]["ports"].value() == FORM["ports"]
    assert not Rule.objects.exists()


def test_a_length_of_time_becomes_a_time(signed_in: Client) -> None:
    assert signed_in.post(NEW, {**FORM, "expires": "in 8 hours"}).status_code == 302
    expires = datetime.fromisoformat(Rule.objects.get().expires)
    assert timedelta(hours=7.9) < expires - timezone.now() < timedelta(hours=8.1)


def test_a_block_of_a_group_needs_no_tick(signed_in: Client, host: Host, alice: Actor) -> None:
    group_create(host=host, actor=alice, name="bad", values={"entries": ["192.0.2.0/24"]})
    typed = {**FORM, "action": "block", "protocol": "any", "ports": "", "sources": "@bad"}
    assert signed_in.post(NEW, typed).status_code == 302
    rule = Rule.objects.get()
    assert (rule.action, rule.sources, rule.ports) == ("block", ["@bad"], [])
    assert "@bad" in signed_in.get(NEW).content.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"scope": "container", "container": "shop/web", "ports": "443", "limit_number": "6",
          "limit_unit": "hour"},
         "Anyone can reach 443/tcp of container shop/web, at most 6 an hour of each source."),
        ({"ports": "22", "sources": "192.0.2.7, 198.51.100.0/24", "expires": "2037-01-31T18:00Z"},
         "192.0.2.7 and 198.51.100.0/24 can reach 22/tcp of the host and of all containers, until"
         " 2037-01-31 18:00 UTC."),
        ({"action": "block", "ports": "", "sources": "192.0.2.0/24"},
         "Blocks 192.0.2.0/24 from all of tcp of the host and of all containers. A block beats every"
         " allowance."),
        ({"ports": "22", "enabled": ""}, "Disabled, so it does nothing now."),
        ({"scope": "forwarded", "to": "192.168.122.10", "ports": "22"},
         "Anyone can reach 22/tcp at 192.168.122.10, behind this host."),
    ],
    ids=str,
)  # fmt: skip
def test_a_sentence_says_what_the_rule_will_do(signed_in: Client, typed: dict[str, str], said: str) -> None:
    sent = {name: value for name, value in {**FORM, **typed}.items() if value}
    # A moment is an element of its own.
    assert said in text_of(signed_in.post(f"{HOST}/rules/warnings/", sent)).replace("UTC .", "UTC.")
    assert "can reach" not in text_of(signed_in.post(f"{HOST}/rules/warnings/", {**sent, "sources": "@x"}))


def test_containers_are_suggested_by_service_name_and_label(working: Client, host: Host) -> None:
    given = ("com.docker.compose.project=shop", "com.docker.compose.config-hash=1f", "secret", "team=shop")
    containers = (
        Container("0123456789ab", "shop-db-1", "shop", "db", labels=given),
        Container("0123456789ac", "cache", labels=("org.opencontainers.image.version=7", "team=shop")),
    )
    snapshot_store(host, draft_document(host), 1, around={"containers": containers})
    listed = (
        working.get(NEW).content.decode().partition('id="container-names">')[2].partition("</datalist>")[0]
    )
    assert re.findall(r'value="([^"]+)"', listed) == [
        *("shop/db", "cache", "shop-db-1"),
        *("label:com.docker.compose.project=shop", "label:secret", "label:team=shop"),
    ]
