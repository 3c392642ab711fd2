"""The main job on a phone at night, and in a browser that runs no script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import PHONE, SCHEMES, Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser


def test_a_phone_at_night(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    phone = new_person(
        "alice",
        stack,
        storage_state=admins["alice"],
        viewport=PHONE,
        color_scheme="dark",
        is_mobile=True,
        has_touch=True,
    )
    page = phone.page
    page.goto("/")
    page.get_by_role("button", name="Menu").tap()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Rules").tap()
    page.get_by_role("link", name="New rule").tap()
    phone.fill_rule("container", "x" * 80, comment="from a phone")
    with phone.watch.expecting(422):
        phone.press("Save to the draft")
        assert "is not a port" in phone.field_error("Ports")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.fill_rule("container", "9061", comment="from a phone")
    phone.save_rule()
    page.get_by_role("link", name=re.compile("^Review")).first.tap()
    phone.start_apply("From a phone")
    phone.expect_applied()
    assert any("--ctorigdstport 9061" in line for line in stack.our_rules())
    phone.goto("rules/")
    row = phone.rule_row("from a phone")
    for name in ("Edit", "Duplicate", "Delete"):
        target = row.locator(f".actions [aria-label^={name}]").bounding_box()
        assert target is not None
        assert target["height"] >= 40, f"{name} is too small for a finger: {target}"


def test_no_script_at_all(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    plain = new_person("alice", stack, storage_state=admins["alice"], java_script_enabled=False)
    page = plain.page
    plain.goto("rules/new/")
    plain.fill_rule("container", "9071, 9o72", comment="without a script")
    with plain.watch.expecting(422):
        plain.press("Save to the draft")
        assert "9o72" in plain.field_error("Ports")
    plain.fill_rule("container", "9071, 9072", comment="without a script")
    plain.save_rule()
    plain.rule_row("without a script").get_by_role("switch").click()
    expect(plain.rule_row("without a script").get_by_role("switch")).not_to_be_checked()
    plain.rule_row("without a script").get_by_role("switch").click()
    plain.goto("review/")
    plain.start_apply("Without a script")
    # The page reloads itself while the apply runs.
    plain.expect_awaiting()
    plain.press("Keep")
    expect(page.get_by_role("heading", name=re.compile("^Keep revision"))).to_be_visible()
    plain.press("Keep")
    expect(page.locator('[data-state="confirmed"]')).to_be_visible()
    assert any("--ctorigdstport 9072" in line for line in stack.our_rules())
    plain.goto("live/")
    expect(page.locator("main")).to_contain_text("9072")


@pytest.mark.parametrize("width", [800, 960, 1100])
def test_the_rules_fit_a_narrow_window(alice: Person, width: int) -> None:
    alice.add_rule(
        "both", "5432", source="2001:db8:1234:5678::/64", comment=f"the database, seen on {width} px"
    )
    alice.page.set_viewport_size({"width": width, "height": 900})
    table = alice.page.locator("#row-form")
    wide, room = table.evaluate("part => [part.scrollWidth, part.clientWidth]")
    assert wide <= room, f"the table is {wide} px wide, and has {room} px"


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_groups_and_rules_fit_each_width(alice: Person, screens: Screens, width: int) -> None:
    page, name = alice.page, f"the-offices-of-all-our-sites-{width}"
    alice.goto("groups/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.locator("#id_entries").fill("203.0.113.0/25\n203.0.113.128/25\n2001:db8::/33\n2001:db9::/48")
    page.get_by_label("Comment", exact=True).fill("the sites in the north, the south and the east")
    alice.press("Save to the draft")
    alice.add_rule("container", "5432", source=f"@{name}", comment=f"the database, seen on {width} px")
    page.set_viewport_size({"width": width, "height": 900})
    for title, place in {
        "groups": "groups/?address=203.0.113.7",
        "group": f"group/{name}/",
        "group-edit": f"group/{name}/edit/",
        "rules": "rules/",
        "rule": "rules/new/?scope=container&container=label:team=shop",
    }.items():
        alice.goto(place)
        if title == "rules":
            page.get_by_role("checkbox", name=re.compile("^Select: ")).first.check()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            screens.take_one(page, f"fits-{title}-{width}-{scheme}")
    page.emulate_media(color_scheme="light")
    alice.goto("rules/")
    alice.rule_row(f"seen on {width} px").get_by_role("button", name=re.compile("^Delete")).last.click()
    alice.goto("groups/")
    page.get_by_role("button", name=f"Delete @{name}").click()
    expect(page.locator(f"#group-{name}")).to_have_count(0)


def test_a_service_replaces_the_comment_of_another_but_not_an_admins(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/new/")
    comment = page.get_by_label("Name", exact=True)
    service = page.get_by_role("combobox", name="Service or container")

    def choose(name: str) -> None:
        service.fill(name)
        service.press("Enter")

    choose("WireGuard")
    expect(comment).to_have_value("WireGuard")
    choose("PostgreSQL")
    expect(comment).to_have_value("PostgreSQL")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("5432")
    comment.fill("our shop")
    choose("WireGuard")
    expect(comment).to_have_value("our shop")


def test_every_port_is_unticked_while_ports_are_typed(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/new/")
    every = page.get_by_label("Every port")
    every.check()
    page.get_by_label("Ports", exact=True).fill("22")
    expect(every).not_to_be_checked()
    page.locator('select[name="protocol"]').select_option("icmp")
    expect(every).to_be_hidden()


def test_the_destination_is_asked_for_forwarded_traffic(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    alice.goto("rules/new/")
    page = alice.page
    destination = page.get_by_label("Destination", exact=True)
    expect(destination).to_be_hidden()
    alice.fill_rule("forwarded", "9081", comment="to a machine")
    expect(destination).to_be_visible()
    destination.fill("192.168.122.0/33")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        assert "192.168.122.0/33" in alice.field_error("Destination")
    # A typed destination stays visible, whatever the rule applies to.
    page.locator('input[name="scope"][value="host"]').check()
    expect(destination).to_be_visible()
    page.locator('input[name="scope"][value="forwarded"]').check()
    destination.fill("192.168.122.10")
    alice.save_rule()
    expect(alice.rule_row("to a machine")).to_contain_text("192.168.122.10")
    plain = new_person("alice", stack, storage_state=admins["alice"], java_script_enabled=False)
    plain.goto("rules/new/")
    plain.fill_rule("forwarded", "9082", comment="a plain form")
    plain.page.get_by_text("Advanced:").click()
    plain.page.get_by_label("Destination", exact=True).fill("2001:db8:1234:5678:9abc:def0:1234:5678")
    plain.save_rule()
    expect(plain.rule_row("a plain form")).to_contain_text("2001:db8:1234:5678:9abc:def0:1234:5678")
    alice.goto("rules/")
    page.set_viewport_size({"width": 960, "height": 900})
    wide, room = page.locator("#row-form").evaluate("part => [part.scrollWidth, part.clientWidth]")
    assert wide <= room, f"the table is {wide} px wide, and has {room} px"
    for comment in ("to a machine", "a plain form"):
        alice.rule_row(comment).get_by_role("button", name=re.compile("^Delete")).click()
        expect(alice.rule_row(comment)).to_have_count(0)
