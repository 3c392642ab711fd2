"""Groups and lists while Redis is away, after reloads and an ended session, and with two admins at once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.person import Person
from tests.browser.screens import DESKTOP, PHONE, Screens
from tests.browser.stack import Stack
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.browser
# Nothing answers there, and nothing is sent: the sandbox has no way out.
FEED = "https://192.0.2.1/list"


def group_new(person: Person, name: str, pasted: str) -> None:
    """Fill in the form of a new group, and leave it unsaved."""
    person.goto("groups/new/")
    person.page.get_by_label("Name", exact=True).fill(name)
    person.page.locator("#id_entries").fill(pasted)


def is_kept(page: Page, text: str) -> None:
    """Wait until a typed text is in the memory of this tab."""
    wait_until("kept text", lambda: text in page.evaluate("JSON.stringify(sessionStorage)"))


def test_groups_lists_and_rules_while_redis_is_away(stack: Stack, alice: Person, screens: Screens) -> None:
    page = alice.page
    with stack.frozen("redis"), alice.watch.expecting(503):
        group_new(alice, "away", "203.0.113.0/25\n203.0.113.128/25\n2001:db8::/48")
        alice.press("Save to the draft")
        row = page.locator("#group-away")
        expect(row).to_contain_text("2 IPv4 1 IPv6 2 after merging 256 IPv4 addresses1 × IPv6 /48")
        alice.goto("groups/new/?kind=feed&name=cloud&url=" + FEED)
        alice.press("Save to the draft")
        expect(page.locator("#group-cloud")).to_contain_text("unknown")
        expect(page.locator("#group-cloud")).to_contain_text(
            "Not fetched yet. Until then it has no networks."
        )
        alice.goto("rules/new/?sources=%40away,%40cloud&ports=9061&comment=while%20Redis%20is%20gone")
        expect(page.locator("#id_sources")).to_have_value("@away, @cloud")
        alice.save_rule()
        expect(alice.rule_row("while Redis is gone")).to_contain_text("@away")
        expect(page.locator("body")).to_contain_text("Redis does not answer")
        alice.goto("group/away/")
        expect(page.locator("main")).to_contain_text("Networks after merging1 IPv4, 1 IPv6")
        alice.goto("review/")
        expect(page.locator("main")).to_contain_text("Redis")
        expect(page.locator("main")).not_to_contain_text(re.compile("^Protected"))
        screens.take(page, "review-groups-no-redis")
        page.set_viewport_size(DESKTOP)
    # Nothing of it was lost. A list that cannot be fetched is told of, with the request for another try.
    alice.goto("groups/")
    wait_until("the list is followed", lambda: has_list(page))
    page.locator("#group-cloud").get_by_role(
        "link", name=re.compile("Not fetched yet|Fetching fails")
    ).click()
    with stack.frozen("redis"):
        alice.press("Fetch now")
        expect(page.locator("#messages")).to_contain_text("Requested: the clerk fetches @cloud next.")
    screens.take(page, "group-list")
    page.set_viewport_size(DESKTOP)
    alice.goto("groups/")
    screens.take(page, "groups-sizes")
    # What a feed is stands beside the label, not under it.
    page.set_viewport_size(PHONE)
    state = page.locator("#group-cloud .covered").bounding_box()
    assert state is not None
    assert state["x"] > PHONE["width"] / 4, state
    page.set_viewport_size(DESKTOP)
    alice.goto("group/away/")
    screens.take(page, "group-page")
    page.set_viewport_size(DESKTOP)
    alice.goto("rules/")
    alice.rule_row("while Redis is gone").get_by_role("button", name=re.compile("^Delete")).click()
    expect(alice.rule_row("while Redis is gone")).to_have_count(0)
    for name in ("away", "cloud"):
        alice.goto("groups/")
        page.get_by_role("button", name=f"Delete @{name}").click()
        expect(page.locator(f"#group-{name}")).to_have_count(0)


def has_list(page: Page) -> bool:
    """Reload, and return True once the state of the feed leads to its versions."""
    page.reload()
    return page.locator("#group-cloud").get_by_role("link", name=re.compile("etch")).count() > 0


def test_a_half_filled_group_survives_a_reload_and_an_ended_session(alice: Person, stack: Stack) -> None:
    page = alice.page
    page.set_viewport_size(PHONE)
    group_new(alice, "half", "203.0.113.0/24\n198.51.100.7")
    is_kept(page, "198.51.100.7")
    page.reload()
    expect(page.locator("#id_entries")).to_have_value("203.0.113.0/24\n198.51.100.7")
    expect(page.locator("#entry-count")).to_have_text("2 entries.")
    # What was typed last is kept as well.
    page.get_by_label("Comment", exact=True).fill("typed just before")
    page.reload()
    expect(page.get_by_label("Comment", exact=True)).to_have_value("typed just before")
    page.context.clear_cookies(name=re.compile("session"))
    alice.press("Save to the draft")
    page.locator("#id_username").fill(alice.name)
    page.locator("#id_password").fill("correct horse battery staple")
    alice.press("Sign in")
    expect(page.get_by_role("heading", name="New group")).to_be_visible()
    expect(page.locator("#id_entries")).to_have_value("203.0.113.0/24\n198.51.100.7")
    expect(page.get_by_label("Comment", exact=True)).to_have_value("typed just before")
    alice.press("Save to the draft")
    expect(page.locator("#group-half")).to_contain_text("257 IPv4 addresses")
    # A saved form is empty the next time.
    alice.goto("groups/new/")
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    alice.goto("groups/")
    page.get_by_role("button", name="Delete @half").click()
    expect(page.locator("#group-half")).to_have_count(0)


def test_two_admins_edit_the_same_group(alice: Person, bob: Person, screens: Screens) -> None:
    group_new(alice, "both", "203.0.113.0/24")
    alice.press("Save to the draft")
    alice.goto("group/both/edit/")
    bob.goto("group/both/edit/")
    bob.page.locator("#id_entries").fill("203.0.113.0/24\n192.0.2.7")
    bob.press("Save to the draft")
    expect(bob.page.locator("#group-both")).to_contain_text("2 IPv4")
    alice.page.locator("#id_entries").fill("203.0.113.0/24\n192.0.2.9")
    with alice.watch.expecting(409):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("heading", name="This group was changed")).to_be_visible()
    expect(alice.page.locator("main")).to_contain_text("192.0.2.7")
    expect(alice.page.locator("#id_entries")).to_have_value("203.0.113.0/24\n192.0.2.9")
    screens.take(alice.page, "group-conflict")
    alice.page.set_viewport_size(DESKTOP)
    alice.press("Save mine")
    expect(alice.page.locator("#group-both")).to_contain_text("257 IPv4 addresses")
    # Removed under the open form: what was typed is saved as a new group.
    alice.goto("group/both/edit/")
    bob.goto("groups/")
    bob.page.get_by_role("button", name="Delete @both").click()
    expect(bob.page.locator("#group-both")).to_have_count(0)
    alice.page.locator("#id_entries").fill("198.51.100.0/24")
    with alice.watch.expecting(409):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("heading", name="This group was removed")).to_be_visible()
    expect(alice.page.locator("#id_entries")).to_have_value("198.51.100.0/24")
    alice.press("Save mine")
    expect(alice.page.locator("#group-both")).to_contain_text("256 IPv4 addresses")
    alice.page.get_by_role("button", name="Delete @both").click()
    expect(alice.page.locator("#group-both")).to_have_count(0)
