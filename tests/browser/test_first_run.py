"""The guide to the first revision, from the dashboard of a new installation to the confirmed revision."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import DESKTOP, Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser

# Pixels from the end of the last row to that of the card, which is its border.
BELOW_LAST_ROW = """() => {
    const end = (element) => element.getBoundingClientRect().bottom;
    const last = document.querySelector(".rule-rows tbody tr:last-child");
    return end(document.getElementById("rules")) - end(last);
}"""
LINES_OF_ORDERS = """() => {
    const links = [...document.querySelectorAll(".rule-rows thead a")];
    return new Set(links.map((link) => link.getBoundingClientRect().top)).size;
}"""


def test_the_guide_leads_to_the_first_revision(
    new_stack: Stack, new_person: NewPerson, screens: Screens
) -> None:
    alice = new_person("alice", new_stack)
    page = alice.page
    assert new_stack.setup_link
    alice.create_first_admin(new_stack.setup_link)
    alice.goto("")
    alice.follow("Show the steps")
    screens.take(page, "start")
    alice.follow("Start")
    expect(page.get_by_role("heading", name="Which interface faces the internet?")).to_be_visible()
    expect(page.get_by_role("checkbox", name=re.compile("^ens33"))).to_be_checked()
    expect(page.get_by_text("Proposed: the host reaches the internet by this interface")).to_be_visible()
    screens.take(page, "start-interfaces")
    alice.press("Save and continue")

    expect(page.get_by_role("heading", name="Who may use SSH?")).to_be_visible()
    page.get_by_label("A network").check()
    page.get_by_label("Network", exact=True).fill("192.0.2.0/240")
    with alice.watch.expecting(422):
        alice.press("Add to the draft and continue")
        expect(page.get_by_role("alert")).to_be_visible()
    assert alice.field_error("Network")
    expect(page.get_by_label("Network", exact=True)).to_have_value("192.0.2.0/240")
    screens.take(page, "start-ssh")
    page.get_by_label("Network", exact=True).fill("192.0.2.0/24")
    alice.press("Add to the draft and continue")

    expect(page.get_by_role("heading", name="Which services should be reachable?")).to_be_visible()
    screens.take(page, "start-services")
    # Left here, and taken up again from the dashboard.
    alice.goto("")
    alice.follow("Show the steps")
    expect(page.get_by_role("navigation", name="Steps of the guide")).to_contain_text("from 192.0.2.0/24")
    alice.follow(re.compile("Services"))
    alice.follow(re.compile("^Skip$"))
    expect(page.get_by_role("heading", name="What do containers need from this host?")).to_be_visible()
    screens.take(page, "start-containers")
    alice.follow(re.compile("^(Continue|Skip)$"))

    expect(page.get_by_role("heading", name="Ready for the first review")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("22/tcp")
    screens.take(page, "start-summary")
    assert_no_empty_strip_below_the_rules(alice)
    page.get_by_role("main").get_by_role("link", name="Review", exact=True).last.click()
    alice.start_apply("first rules", re.compile("Apply"))
    alice.expect_applied()
    alice.goto("")
    expect(page.locator("[data-level]").first).to_contain_text("revision 1 is active")
    expect(page.get_by_role("link", name="Show the steps")).to_have_count(0)


def assert_no_empty_strip_below_the_rules(alice: Person) -> None:
    """Look at the rules before the first apply, of which nothing is said below the table, and go back."""
    page = alice.page
    alice.goto("rules/")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(BELOW_LAST_ROW) <= 1, width
        assert page.evaluate(LINES_OF_ORDERS) == 1, width
    page.set_viewport_size(DESKTOP)
    page.go_back()
