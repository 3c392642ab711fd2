"""The main job by the keyboard alone: the focus is always visible, and never lost."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import PASSWORD
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser

# How often Tab is pressed at most to reach something: no page asks for more.
MOST_TABS: Final = 120
NAME_OF_FOCUS: Final = """() => {
  const one = document.activeElement;
  const label = one.labels && one.labels.length ? one.labels[0].textContent : "";
  return [label, one.getAttribute("aria-label") || "", one.textContent || "", one.value || ""]
    .map(text => text.replace(/\\s+/g, " ").trim());
}"""
# An outline or a shadow that the element, or what stands for it, has only with the focus.
IS_FOCUS_SEEN: Final = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return "nothing has the focus";
  const shown = [one, one.parentElement, ...(one.labels || [])];
  const seen = shown.some(each => {
    const style = getComputedStyle(each);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return outlined || style.boxShadow !== "none";
  });
  return seen ? "" : "no outline and no shadow on " + one.outerHTML.slice(0, 200);
}"""


class Keyboard:
    """An admin without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, key: str) -> None:
        """Press a key."""
        self.page.keyboard.press(key)

    def go_to(self, name: str) -> None:
        """Press Tab until a link, button or field whose name begins so has the focus, visibly."""
        for _ in range(MOST_TABS):
            self.press("Tab")
            # Between the last place of a page and its first, the focus is the browser's own.
            if self.page.evaluate("document.activeElement === document.body"):
                self.press("Tab")
            self.assert_focus_is_seen()
            names: list[str] = self.page.evaluate(NAME_OF_FOCUS)
            if any(each == name or each.startswith(f"{name} ") for each in names):
                return
        raise AssertionError(f"no Tab reaches {name} on {self.page.url}")

    def fill(self, name: str, text: str) -> None:
        """Go to a field and type."""
        self.go_to(name)
        self.page.keyboard.type(text)

    def choose(self, name: str) -> None:
        """Go to a link or a button and press Enter."""
        self.go_to(name)
        self.press("Enter")

    def assert_focus_is_seen(self) -> None:
        """Fail where nothing has the focus, or where it cannot be seen."""
        trouble = self.page.evaluate(IS_FOCUS_SEEN)
        assert not trouble, f"{self.page.url}: {trouble}"


def test_the_main_job_without_a_mouse(new_stack: Stack, new_person: NewPerson) -> None:
    alice = new_person("alice", new_stack)
    page, keys = alice.page, Keyboard(alice.page)
    alice.create_first_admin(new_stack.setup_link)
    alice.page.context.clear_cookies()
    sign_in(keys)
    choose_the_interface(keys)
    add_a_rule(keys)
    keys.choose("Review")
    expect(page.locator("#diff-heading")).to_be_visible()
    keys.fill("Reason", "Ssh, without a mouse")
    keys.choose("Apply")
    alice.expect_awaiting()
    keys.choose("Keep")
    expect(page.locator('[data-state="confirmed"]')).to_be_visible()
    keys.go_to("History")
    keys.press("Enter")
    expect(page.locator("main")).to_contain_text("Ssh, without a mouse")
    assert any("--dport 22 " in line for line in new_stack.our_rules())


def sign_in(keys: Keyboard) -> None:
    """Sign in as alice."""
    keys.page.goto("/sign-in/")
    keys.page.locator("#id_username").focus()
    keys.page.keyboard.type("alice")
    keys.fill("Password", PASSWORD)
    keys.press("Enter")
    expect(keys.page.locator("h1")).not_to_have_text("Sign in")


def choose_the_interface(keys: Keyboard) -> None:
    """Tick ens33 in the settings."""
    keys.page.goto("/hosts/local/settings/")
    for _ in range(MOST_TABS):
        keys.press("Tab")
        keys.assert_focus_is_seen()
        if keys.page.evaluate("document.activeElement.value") == "ens33":
            break
    keys.press("Space")
    keys.choose("Save to the draft")
    expect(keys.page.locator("#pending-count .count")).to_contain_text("1")


def add_a_rule(keys: Keyboard) -> None:
    """Add a rule for ssh on the host with `n`, Tab and the arrow keys."""
    page = keys.page
    page.goto("/hosts/local/rules/")
    keys.press("n")
    page.wait_for_url("/hosts/local/rules/new/")
    keys.fill("Service or container", "ssh")
    expect(page.get_by_role("option").first).to_be_visible()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("22")
    keys.assert_focus_is_seen()
    keys.fill("Sources", "192.0.2.0/24")
    keys.choose("Save to the draft")
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
    row = page.locator("#rule-table tbody tr").first
    expect(row).to_contain_text("22")
    # Off and on again: the swap of the row keeps the focus.
    for state in ("false", "true"):
        if state == "false":
            row.get_by_role("switch").focus()
        keys.press("Space")
        expect(row.get_by_role("switch")).to_have_attribute("aria-checked", state)
        expect(row.get_by_role("switch")).to_be_focused()
        keys.assert_focus_is_seen()
