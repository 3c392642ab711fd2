"""The form of a rule: errors at their field, nothing typed lost, two admins on the same rule."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.http import HttpResponseBase
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create, rule_delete, rule_update
from rules.models import Host, Rule
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
NEW = f"{HOST}/rules/new/"
FORM = {
    "scope": "both",
    "protocol": "tcp",
    "protocol_other": "",
    "ports": "22, 8000 - 8010",
    "port_kind": "published",
    "source": "",
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
    assert (rule.scope, rule.source, rule.ports, rule.enabled) == ("both", "any", ["22", "8000-8010"], True)


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
        name: form[name].value() for name in ("scope", "protocol", "ports", "port_kind", "source", "comment")
    }


def test_a_link_fills_the_form_in(signed_in: Client) -> None:
    asked = {
        "scope": "container",
        "protocol": "udp",
        "ports": "53, 8000 - 8010",
        "port_kind": "container",
        "source": "192.0.2.7",
        "comment": "dns",
    }
    wanted = {**asked, "ports": "53, 8000-8010", "source": "192.0.2.7/32"}
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
        {"source": "192.0.2.300"},
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
        ("source", "192.0.2.300", "192.0.2.300"),
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
    assert re.search(rf'name="{field}"[^>]*value="{re.escape(value)}"', body)
    assert 'value="ssh and previews"' in body or field == "comment"
    error = re.search(rf'id="id_{field}_error">(.*?)</ul>', body, re.DOTALL)
    assert error is not None, f"no error at {field}"
    assert said in error[1]
    assert 'aria-invalid="true"' in body
    assert not Rule.objects.exists()
    assert has_no_inline_code(page)


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
    def echo(source: str) -> str:
        return signed_in.get(f"{HOST}/rules/echo/", {"source": source}).content.decode()

    assert echo("10.9.9.0/24").startswith("256 addresses, 10.9.9.0 to 10.9.9.255")
    assert echo("") == "Any source, IPv4 and IPv6."
    assert echo("10.9.9.1, 10.9.9.2").startswith("A rule has one source.")
    assert echo("10.9.9") == "Not a valid address or network yet."
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
    assert "Another edit was saved meanwhile. Its changes are kept: Source 192.0.2.7/32." in text_of(page)
    ssh.refresh_from_db()
    assert (ssh.ports, ssh.source, ssh.version) == (["2222"], "192.0.2.7/32", 3)


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
    assert ssh.source == "192.0.2.7/32"


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
