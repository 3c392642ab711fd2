"""Groups and rules with conditions on a phone: a pasted list, a limit, an expiry, a block, an apply."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import PHONE, Screens
from tests.browser.stack import Stack
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.browser
PASTED = "# both sites\n203.0.113.0/24, 198.51.100.7\n2001:db8:1::/48 # the new office\n"


def test_groups_and_conditions_on_a_phone(
    stack: Stack,
    new_person: NewPerson,
    admins: dict[str, StorageState],
    alice: Person,
    screens: Screens,
) -> None:
    alice = new_person(
        "alice", stack, storage_state=admins["alice"], viewport=PHONE, timezone_id="Asia/Tokyo"
    )
    paste_too_much(alice)
    make_a_group(alice, screens)
    add_a_rule_with_conditions(alice, screens)
    block_a_network(alice, screens)
    alice.apply("Slow ssh for the offices for some hours")
    lines = stack.our_rules()
    assert any("203.0.113.0/24" in line and "hashlimit" in line and "--datestop" in line for line in lines), (
        lines
    )
    assert any("192.0.2.128/25" in line and line.endswith("-j DROP") for line in lines), lines
    take_it_away(alice)


def paste_too_much(alice: Person) -> None:
    """Paste a text that is too long: the page names its length, sends nothing and keeps it."""
    page = alice.page
    alice.goto("groups/new/")
    page.locator("label.choice").filter(has_text="DNS names").click()
    names = page.get_by_label("DNS names", exact=True).last
    # Few long names: Chromium's time grows with the square of the lines, and 1,200 took it 6 seconds.
    pasted = ("home." * 45 + "a.example.org\n") * 180
    names.fill(pasted)
    alice.press("Save to the draft")
    assert names.evaluate("field => field.validationMessage") == (
        "43,200 characters. At most 40,000 are allowed. Nothing was sent."
    )
    assert names.input_value() == pasted
    # The answer of the server, not the browser's own words, once it is short enough.
    names.fill("home.example.org")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")


def make_a_group(alice: Person, screens: Screens) -> None:
    """Paste a list with a mistake, mend the line, and find an address in the group."""
    page = alice.page
    alice.goto("groups/new/")
    page.get_by_label("Name", exact=True).fill("office")
    page.get_by_label("Addresses and networks", exact=True).last.fill(PASTED + "10.0.0.300\n")
    expect(page.locator("#entry-count")).to_have_text("4 entries.")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    expect(page.locator("main")).to_contain_text("Line 4: 10.0.0.300 is not an")
    screens.take(page, "group-form")
    page.set_viewport_size(PHONE)
    page.locator("#id_entries").fill(PASTED)
    alice.press("Save to the draft")
    expect(page.locator("#group-office")).to_contain_text("2 IPv4 1 IPv6")
    page.get_by_role("searchbox", name="Find an address").fill("203.0.113.9")
    expect(page.locator("#address-found")).to_contain_text("by 203.0.113.0/24")
    screens.take(page, "groups")
    page.set_viewport_size(PHONE)


def add_a_rule_with_conditions(alice: Person, screens: Screens) -> None:
    """Fill in the folded fields; a reload keeps them; times are in this browser's zone."""
    page = alice.page
    alice.goto("rules/new/")
    expect(page.get_by_label("Interface")).to_be_hidden()
    alice.fill_rule("host", "22", comment="ssh, slowly")
    page.get_by_role("button", name="@office").click()
    expect(page.locator("#id_sources")).to_have_value("@office")
    page.get_by_text("Advanced:").click()
    page.get_by_label("Limit", exact=True).fill("6")
    page.get_by_role("button", name="In 8 hours").click()
    page.get_by_label("Tags", exact=True).fill("ops")
    shown = page.get_by_label("Expires", exact=True).input_value()
    stored = page.locator("#id_expires").input_value()
    local = datetime.fromisoformat(f"{shown}+09:00").astimezone(UTC)
    assert stored == f"{local:%Y-%m-%dT%H:%M:%SZ}"
    expect(page.locator(".explained")).to_contain_text(
        "@office (3 networks) can reach 22/tcp of the host, at most 6 a minute of each source, until"
    )
    wait_until("kept text", lambda: "ssh, slowly" in page.evaluate("JSON.stringify(sessionStorage)"))
    page.reload()
    expect(page.locator("#id_sources")).to_have_value("@office")
    expect(page.get_by_label("Expires", exact=True)).to_have_value(shown)
    expect(page.locator("#source-echo")).to_have_text("The group @office.")
    expect(page.get_by_label("Limit", exact=True)).to_be_visible()
    screens.take(page, "rule-form")
    page.set_viewport_size(PHONE)
    alice.save_rule()
    row = alice.rule_row("ssh, slowly")
    for text in ("6 a minute", re.compile("Ends in [78] h"), "@office", "ops"):
        expect(row).to_contain_text(text)


def block_a_network(alice: Person, screens: Screens) -> None:
    """Block everything of a network, and find it by a search."""
    page = alice.page
    alice.goto("rules/new/")
    page.get_by_role("radio", name=re.compile("^Block")).check()
    page.locator('select[name="protocol"]').select_option("any")
    page.get_by_label("Sources", exact=True).fill("192.0.2.128/25")
    page.get_by_label("Name", exact=True).fill("attackers")
    alice.save_rule()
    expect(alice.rule_row("attackers")).to_contain_text("Block")
    page.get_by_role("searchbox").fill("203.0.0.0/8")
    expect(alice.rule_row("attackers")).to_have_count(0)
    expect(alice.rule_row("ssh, slowly")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(alice.rule_row("attackers")).to_be_visible()
    screens.take(page, "rules-conditions")
    page.set_viewport_size(PHONE)
    alice.goto("review/")
    expect(page.locator("main")).to_contain_text("@office, 3 entries")
    screens.take(page, "review-groups")
    page.set_viewport_size(PHONE)


def take_it_away(alice: Person) -> None:
    """Remove what this story added: a group in use stays until its rule is gone."""
    page = alice.page
    alice.goto("groups/")
    page.get_by_role("button", name="Delete @office").click()
    expect(page.locator("#messages")).to_contain_text("@office is a source of 1 rule: ssh, slowly")
    for comment in ("ssh, slowly", "attackers"):
        alice.goto("rules/")
        alice.rule_row(comment).get_by_role("button", name=re.compile("^Delete")).click()
        expect(alice.rule_row(comment)).to_contain_text("Removed")
    alice.goto("groups/")
    page.get_by_role("button", name="Delete @office").click()
    expect(page.locator("#group-office")).to_contain_text("to be removed")
    alice.apply("The offices have moved")
