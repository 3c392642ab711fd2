"""A rule for a container by its name that ends soon: offered by the sandbox, and bound in its kernel."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.screens import DESKTOP, PHONE, Screens
from tests.browser.stack import Stack
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.browser
COMMENT = "search for the consultant"
MEMBER = "172.20.0.2,tcp:9200"


def test_a_container_by_name_for_some_minutes(stack: Stack, alice: Person, screens: Screens) -> None:
    page = alice.page
    alice.goto("rules/new/")
    alice.fill_rule("container", "9200", source="198.51.100.7", comment=COMMENT)
    choose_a_container(alice, screens)
    page.get_by_text("Advanced:").click()
    leave_the_date_unfinished(alice)
    page.get_by_role("button", name="In 10 minutes").click()
    expect(page.locator(".explained")).to_contain_text(
        "198.51.100.7 can reach 9200/tcp of container logs/elastic, until"
    )
    screens.take(page, "rule-form-container")
    alice.save_rule()
    row = alice.rule_row(COMMENT)
    expect(row).to_contain_text(re.compile(r"Ends in (9|10) min"))
    expect(row).not_to_contain_text("allows nothing")
    alice.apply("Search for the consultant")
    # The boot files have it empty, and the root worker fills it from what Docker lists.
    wait_until("the container's address in a set", lambda: f" {MEMBER}" in saved_sets(stack))
    alice.goto("exposure/")
    found = page.locator("main tr").filter(has_text="9200/tcp")
    expect(found).to_contain_text("logs-elastic-1")
    expect(found).to_contain_text("198.51.100.7")
    alice.goto("rules/")
    alice.rule_row(COMMENT).get_by_role("button", name=re.compile("^Delete")).click()
    expect(alice.rule_row(COMMENT)).to_contain_text("Removed")
    alice.apply("The consultant is done")
    assert MEMBER not in saved_sets(stack)


def choose_a_container(alice: Person, screens: Screens) -> None:
    """Find a label by the keyboard and a service by a finger; what is pressed again is taken back."""
    page = alice.page
    field = page.get_by_label("Container", exact=True)
    chips = page.get_by_role("group", name="Containers of this host").get_by_role("button")
    services = ["logs/elastic", "logs/metrics", "shop/cache", "shop/db", "shop/preview", "shop/web"]
    names = [f"{service.replace('/', '-')}-1" for service in services]
    expect(chips).to_have_text([*services, *names])
    field.fill("TEAM=SEARCH")
    expect(chips).to_have_text(["label:team=search"])
    field.press("Tab")
    page.keyboard.press("Enter")
    expect(field).to_have_value("label:team=search")
    expect(page.locator(".explained")).to_contain_text("9200/tcp of containers labelled team=search")
    expect(chips.get_by_text("label:team=search")).to_be_focused()
    page.keyboard.press("Enter")
    expect(field).to_have_value("")
    page.set_viewport_size(PHONE)
    chips.get_by_text("logs/elastic").click()
    expect(field).to_have_value("logs/elastic")
    screens.take(page, "rule-form-containers")
    page.set_viewport_size(DESKTOP)


def leave_the_date_unfinished(alice: Person) -> None:
    """A date without a time is an error at its field, and not a rule that never ends."""
    page = alice.page
    picker = page.get_by_label("Expires", exact=True)
    picker.focus()
    picker.press_sequentially("12")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    assert "time" in alice.field_error("Expires")


def saved_sets(stack: Stack) -> str:
    """Return what the sandbox's sets hold."""
    return stack.in_sandbox("ipset", "save")
