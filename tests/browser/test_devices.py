"""The main job on a phone at night, and in a browser that runs no script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import PHONE
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
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Rules").tap()
    page.get_by_role("link", name="New rule").tap()
    phone.fill_rule("container", "9061", comment="from a phone")
    phone.save_rule()
    page.get_by_role("link", name=re.compile("^Review")).first.tap()
    phone.start_apply("From a phone")
    phone.expect_applied()
    assert any("--ctorigdstport 9061" in line for line in stack.our_rules())
    phone.goto("rules/")
    row = phone.rule_row("from a phone")
    for name in ("Edit", "Duplicate", "Delete"):
        target = row.locator(".actions").get_by_text(name).bounding_box()
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
    expect(page.locator('[data-state="confirmed"]')).to_be_visible(timeout=15_000)
    assert any("--ctorigdstport 9072" in line for line in stack.our_rules())
    plain.goto("live/")
    expect(page.locator("main")).to_contain_text("9072")


@pytest.mark.parametrize("width", [800, 960, 1100])
def test_the_rules_fit_a_narrow_window(alice: Person, width: int) -> None:
    alice.add_rule(
        "both", "5432", source="2001:db8:1234:5678::/64", comment=f"the database, seen on {width} px"
    )
    alice.page.set_viewport_size({"width": width, "height": 900})
    table = alice.page.locator("#rule-table .scroll")
    wide, room = table.evaluate("part => [part.scrollWidth, part.clientWidth]")
    assert wide <= room, f"the table is {wide} px wide, and has {room} px"


def test_a_service_replaces_the_comment_of_another_but_not_an_admins(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/new/")
    comment = page.get_by_label("Comment", exact=True)
    page.get_by_role("link", name=re.compile("^SSH ")).click()
    expect(comment).to_have_value("SSH")
    page.get_by_role("link", name=re.compile("^HTTPS ")).click()
    expect(comment).to_have_value("HTTPS")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("443")
    comment.fill("our shop")
    page.get_by_role("link", name=re.compile("^SSH ")).click()
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
