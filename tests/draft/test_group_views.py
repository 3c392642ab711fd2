"""The pages of groups: errors at their line, nothing typed lost, two admins on one group, large lists."""

from __future__ import annotations

import ipaddress
import re
import sys

import pytest
from django.forms import Form
from django.test import Client

from dockerfw.chains.group_sizes import GroupSize
from dockerfw.document.document import Group as DocumentGroup
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.group_forms import MAX_TEXT, GroupForm
from rules.draft.group_selectors import GroupRow
from rules.draft.group_services import group_create, group_delete, group_update
from rules.draft.rule_forms import RuleForm
from rules.draft.rule_services import rule_create
from rules.models import Group, Host
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
NEW = f"{HOST}/groups/new/"
LIST = f"{HOST}/groups/"
OFFICE = {"kind": "static", "entries": ["203.0.113.0/24"], "comment": "both sites"}
FORM = {"name": "office", "kind": "static", "entries": "203.0.113.0/24", "comment": "both sites"}


@pytest.fixture
def office(host: Host, alice: Actor) -> Group:
    """A group that two admins edit."""
    return group_create(host=host, actor=alice, name="office", values=OFFICE)


def change(host: Host, alice: Actor, group: Group, **values: object) -> Group:
    return group_update(
        host=host,
        actor=alice,
        name=group.name,
        version=group.version,
        new_name=str(values.pop("name", group.name)),
        values={**OFFICE, **values},
    )


def test_access(signed_in: Client, office: Group) -> None:
    assert_access(LIST, signed_in)
    assert_access(f"{HOST}/group/office/", signed_in)
    for path in (NEW, f"{HOST}/group/office/edit/"):
        assert_access(path, signed_in, methods="get post")
    for verb in ("delete", "restore"):
        assert_access(f"{HOST}/group/office/{verb}/", signed_in, methods="post")
    assert signed_in.get(f"{HOST}/group/nobody/").status_code == 404
    assert signed_in.get(f"{HOST}/group/nobody/edit/")["Location"] == LIST


def test_a_pasted_list_becomes_a_group(signed_in: Client) -> None:
    pasted = "# both sites\r\n203.0.113.9/24, 198.51.100.7 # the door\r\n\r\n2001:DB8::/48\r\n"
    answer = signed_in.post(NEW, {**FORM, "name": " @Office ", "entries": pasted})
    assert answer["Location"] == f"{LIST}#group-office"
    assert Group.objects.get().entries == ["198.51.100.7/32", "203.0.113.0/24", "2001:db8::/48"]
    page = signed_in.get(LIST)
    assert has_no_inline_code(page)
    assert "Added to the draft: @office with 3 entries." in text_of(page)
    assert "2 IPv4 1 IPv6 257 IPv4 addresses 1 × IPv6 /48 no rule both sites" in text_of(page)


def test_a_pasted_range_is_stored_as_networks(signed_in: Client) -> None:
    pasted = "192.0.2.1 - 192.0.2.3, 2001:db8::-2001:db8::1 # two ranges\n198.51.100.7"
    signed_in.post(NEW, {**FORM, "entries": pasted})
    assert Group.objects.get().entries == [
        *("192.0.2.1/32", "192.0.2.2/31", "198.51.100.7/32", "2001:db8::/127"),
    ]
    page = signed_in.post(
        NEW, {**FORM, "name": "other", "entries": "192.0.2.9\n192.0.2.9 - 192.0.2.1\nx - y"}
    )
    assert page.status_code == 422
    assert "Line 2: 192.0.2.9-192.0.2.1 is not an" in text_of(page)
    assert "Line 3: x is not an" in text_of(page)
    # Names of the characters of addresses are no ranges.
    signed_in.post(
        NEW, {**FORM, "name": "home", "kind": "names", "names": "dead-beef.example.org, ca.fe-be.ef"}
    )
    assert Group.objects.get(name="home").names == ["ca.fe-be.ef", "dead-beef.example.org"]


def test_an_error_names_its_line_and_keeps_what_was_typed(signed_in: Client) -> None:
    pasted = "203.0.113.0/24\n\n# home\n198.51.100.7, moon\n0.0.0.0/0\n"
    page = signed_in.post(NEW, {**FORM, "entries": pasted})
    assert page.status_code == 422
    assert "Line 4: moon is not an" in text_of(page)
    assert "Line 5: every address is too wide for a group" in text_of(page)
    assert page.context["form"]["entries"].value() == pasted
    assert not Group.objects.exists()
    many = signed_in.post(NEW, {**FORM, "entries": "\n".join(f"x{each}" for each in range(60))})
    assert "40 more lines cannot be read." in text_of(many)
    assert "Line 21" not in text_of(many)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": "Büro"}, "büro is not the name of a group"),
        ({"kind": "feed", "url": "http://example.org/x"}, "use https, or allow plain http"),
        ({"kind": "feed", "url": "https://example.org/x", "refresh_hours": "0"}, "not a number of hours"),
        ({"kind": "names", "names": "home.example.org\nbad_.-name"}, "Line 2: bad_.-name is not a DNS name"),
        ({"kind": "countries", "countries": "SE, Norway"}, "Line 1: Norway is not a country"),
    ],
    ids=str,
)
def test_other_kinds_have_errors_at_their_fields(signed_in: Client, typed: dict[str, str], said: str) -> None:
    page = signed_in.post(NEW, {**FORM, **typed})
    assert page.status_code == 422
    assert said in text_of(page)


def test_other_kinds_are_stored_and_tell_that_nothing_is_fetched(signed_in: Client) -> None:
    for name, typed in {
        "cloud": {"kind": "feed", "url": "https://example.org/x", "refresh_hours": "12"},
        "home": {"kind": "names", "names": "Home.Example.org."},
        "nordic": {"kind": "countries", "countries": "no se"},
    }.items():
        assert signed_in.post(NEW, {**FORM, **typed, "name": name}).status_code == 302
    cloud, home, nordic = Group.objects.order_by("name")
    assert (cloud.refresh_hours, home.names, nordic.countries) == (12, ["home.example.org"], ["NO", "SE"])
    assert text_of(signed_in.get(LIST)).count("Not fetched yet") == 3
    assert "https://example.org/x" in text_of(signed_in.get(f"{HOST}/group/cloud/"))


def test_a_list_that_is_too_long_is_told_in_characters() -> None:
    form = GroupForm({"name": "office", "kind": "static", "entries": "1" * (MAX_TEXT + 1)})
    assert form.errors["entries"] == ["The list has 5000001 characters. At most 5000000 are allowed."]


@pytest.mark.parametrize(
    ("form", "most"),
    [(GroupForm, {"entries": MAX_TEXT, "names": 40_000}), (RuleForm, {"sources": 500_000, "ports": 40_000})],
)
def test_a_browser_does_not_cut_what_is_pasted(form: type[Form], most: dict[str, int]) -> None:
    for name, limit in most.items():
        html = str(form()[name])
        assert f'data-most="{limit}"' in html
        assert "maxlength" not in html


def test_a_group_is_found_by_an_address(signed_in: Client, host: Host, alice: Actor, office: Group) -> None:
    rule = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office"], "comment": "ssh"}
    rule_create(host=host, actor=alice, values=rule)
    page = text_of(signed_in.get(LIST, {"address": "203.0.113.7"}))
    assert "@office by 203.0.113.0/24" in page
    assert "22/tcp from @office to the host" in page
    assert "No group with addresses" in text_of(signed_in.get(LIST, {"address": "192.0.2.1"}))
    assert "is not an IPv4 or IPv6 address" in text_of(signed_in.get(LIST, {"address": "moon"}))
    assert "1 rule" in text_of(signed_in.get(LIST))
    assert "22/tcp from @office to the host" in text_of(signed_in.get(f"{HOST}/group/office/"))


def test_a_group_in_use_is_not_deleted_and_the_page_says_why(
    signed_in: Client, host: Host, alice: Actor, office: Group
) -> None:
    rule = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office"], "comment": "ssh"}
    rule_create(host=host, actor=alice, values=rule)
    page = signed_in.post(f"{HOST}/group/office/delete/", {"version": office.version}, follow=True)
    assert "@office is a source of 1 rule: ssh" in text_of(page)
    assert Group.objects.exists()
    stale = signed_in.post(f"{HOST}/group/office/delete/", {"version": 1}, follow=True)
    assert "changed since you opened it" in text_of(stale)


@pytest.mark.parametrize("typed", [{}, {"kind": "feed", "url": "https://example.org/x"}])
def test_a_new_group_comes_back_by_the_undo_of_its_deletion(
    signed_in: Client, host: Host, typed: dict[str, str]
) -> None:
    signed_in.post(NEW, {**FORM, **typed})
    before = draft_document(Host.objects.get())
    version = Group.objects.get().version
    page = signed_in.post(f"{HOST}/group/office/delete/", {"version": version}, follow=True).content.decode()
    form = re.search(r"Removed from the draft: @office.(.*?)</form>", page, re.DOTALL)
    assert form is not None
    assert not Group.objects.exists()
    signed_in.post(NEW, dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[1])))
    assert draft_document(Host.objects.get()) == before


def test_two_edits_of_other_fields_are_both_kept(
    signed_in: Client, host: Host, alice: Actor, office: Group
) -> None:
    edit = f"{HOST}/group/office/edit/"
    opened = signed_in.get(edit).context["opened"]
    change(host, alice, office, comment="three sites")
    typed = {**FORM, "entries": "203.0.113.0/24\n192.0.2.0/24", "version": office.version, "opened": opened}
    page = signed_in.post(edit, typed, follow=True)
    assert "Its changes are kept: Comment three sites." in text_of(page)
    office.refresh_from_db()
    assert (office.entries, office.comment) == (["192.0.2.0/24", "203.0.113.0/24"], "three sites")


def test_two_edits_of_one_field_are_shown_side_by_side(
    signed_in: Client, host: Host, alice: Actor, office: Group
) -> None:
    edit = f"{HOST}/group/office/edit/"
    opened = signed_in.get(edit).context["opened"]
    changed = change(host, alice, office, entries=["198.51.100.0/24"])
    typed = {**FORM, "entries": "192.0.2.0/24", "version": office.version, "opened": opened}
    page = signed_in.post(edit, typed)
    assert page.status_code == 409
    assert "1 entry, only here 198.51.100.0/24" in text_of(page)
    assert "1 entry, only here 192.0.2.0/24" in text_of(page)
    assert page.context["form"]["entries"].value() == "192.0.2.0/24"
    again = {**typed, "version": changed.version, "opened": page.context["opened"]}
    assert signed_in.post(edit, again).status_code == 302
    office.refresh_from_db()
    assert office.entries == ["192.0.2.0/24"]


def test_a_group_removed_or_renamed_meanwhile_keeps_what_was_typed(
    signed_in: Client, host: Host, alice: Actor, office: Group
) -> None:
    renamed = change(host, alice, office, name="sites")
    page = signed_in.post(f"{HOST}/group/office/edit/", {**FORM, "version": office.version})
    assert page.status_code == 409
    assert page.context["form"]["entries"].value() == "203.0.113.0/24"
    assert page.context["form_action"] == NEW
    group_delete(host=host, actor=alice, name="sites", version=renamed.version)
    page = signed_in.post(f"{HOST}/group/sites/edit/", {**FORM, "version": renamed.version})
    assert page.status_code == 409
    assert signed_in.post(page.context["form_action"], FORM).status_code == 302


def test_a_large_group_is_paged_edited_and_merged(signed_in: Client, host: Host, alice: Actor) -> None:
    entries = [str(ipaddress.ip_address(0x0A000000 + 2 * each)) for each in range(3_000)]
    row = group_create(host=host, actor=alice, name="many", values={"kind": "static", "entries": entries})
    page = signed_in.get(f"{HOST}/group/many/")
    assert "1 to 500 of 3000" in text_of(page)
    assert len(page.content) < 100_000
    assert "10.0.3.2/32" in text_of(signed_in.get(f"{HOST}/group/many/", {"q": "10.0.3.2"}))
    edit = f"{HOST}/group/many/edit/"
    opened = signed_in.get(edit).context["opened"]
    assert len(opened) < 1_000
    group_update(
        host=host, actor=alice, name="many", version=row.version, new_name="many",
        values={"kind": "static", "entries": entries, "comment": "a feed by hand"},
    )  # fmt: skip
    typed = {"name": "many", "kind": "static", "entries": "\n".join(entries[1:]), "comment": ""}
    answer = signed_in.post(edit, {**typed, "version": row.version, "opened": opened})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (len(row.entries), row.comment) == (2_999, "a feed by hand")
    diff = signed_in.get(f"{HOST}/review/")
    assert diff.status_code == 200
    assert len(diff.content) < 200_000


def test_the_size_after_merging_is_on_both_pages(signed_in: Client, host: Host, alice: Actor) -> None:
    entries = ["203.0.113.0/25", "203.0.113.128/25", "203.0.113.7", "198.51.100.0/24", "2001:db8::/48"]
    group_create(host=host, actor=alice, name="office", values={**OFFICE, "entries": entries})
    words = "512 IPv4 addresses, 1 × IPv6 /48"
    assert f"4 IPv4 1 IPv6 3 after merging {words.replace(',', '')}" in text_of(signed_in.get(LIST))
    page = text_of(signed_in.get(f"{HOST}/group/office/"))
    assert f"Entries 5 Networks after merging 2 IPv4, 1 IPv6 Addresses {words}" in page


def test_the_size_of_a_group_is_kept_without_its_entries() -> None:
    entries = tuple(f"203.0.{number >> 8}.{number & 255}/32" for number in range(1_000))
    row = GroupRow(DocumentGroup("many", entries=entries), 1, "", 1_000, 0, (), None)
    holders = sys.getrefcount(entries)
    assert row.size == GroupSize(networks4=6, addresses4=1_000)
    assert sys.getrefcount(entries) == holders
