"""The rule form by the keyboard alone, without scripts, and the preview of who reaches a port."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import PHONE, Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser


def test_a_container_is_chosen_by_the_keyboard(alice: Person, screens: Screens) -> None:
    page = alice.page
    alice.goto("rules/new/")
    field = page.get_by_role("combobox", name="Service or container")
    options = page.get_by_role("listbox", name="Services and containers").get_by_role("option")
    field.focus()
    page.keyboard.type("elastic 9200")
    expect(options.first).to_contain_text("logs/elastic")
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", "service-option-0")
    screens.take(page, "rule-form-services")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(page).to_have_url(re.compile("/rules/new/$"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    # Enter has chosen, and saved nothing.
    expect(page.get_by_label("Ports", exact=True)).to_have_value("9200")
    expect(page.get_by_label("Container", exact=True)).to_have_value("logs/elastic")
    expect(page.get_by_role("radio", name=re.compile("^Containers only"))).to_be_checked()
    expect(page.locator(".explained")).to_have_text("Anyone can reach 9200/tcp of container logs/elastic.")
    expect(page.locator(".reach")).to_contain_text("Now: ")
    # A port that nothing has is a choice too, and another choice takes the container back.
    field.fill("7443/udp")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("7443")
    expect(page.locator('select[name="protocol"]')).to_have_value("udp")
    expect(page.get_by_label("Container", exact=True)).to_have_value("")


def test_a_port_beside_the_form_fills_it_and_another_rule_follows(alice: Person) -> None:
    page = alice.page
    page.set_viewport_size(PHONE)
    alice.goto("rules/new/")
    page.get_by_role("complementary", name="On this host").get_by_role("link", name="8080/tcp").click()
    expect(page.get_by_label("Ports", exact=True)).to_have_value("8080")
    expect(page.get_by_label("Sources", exact=True)).to_be_focused()
    page.get_by_label("Sources", exact=True).fill("198.51.100.7")
    page.get_by_label("Name", exact=True).fill("previews, one at a time")
    alice.press("Save and add another")
    expect(page.locator("body")).to_contain_text("Added to the draft: 8080/tcp from 198.51.100.7")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("")
    page.reload()
    # What was saved is not typed again.
    expect(page.get_by_label("Ports", exact=True)).to_have_value("")
    alice.goto("rules/")
    expect(alice.rule_row("previews, one at a time")).to_have_count(1)


def test_without_scripts_a_button_fills_the_form(
    stack: Stack, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    plain = new_person("alice", stack, storage_state=admins["alice"], java_script_enabled=False)
    page = plain.page
    plain.goto("rules/new/")
    page.get_by_label("Name", exact=True).fill("kept")
    page.get_by_label("Service or container").fill("WireGuard")
    plain.press("Fill in")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("51820")
    page.get_by_label("Sources", exact=True).fill("198.51.100.7")
    # Enter saves, wherever it is pressed.
    page.get_by_label("Ports", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
    expect(plain.rule_row("51820")).to_have_count(1)


PASTE = """(field, text) => {
  const data = new DataTransfer();
  data.setData("text", text);
  field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_sources_are_chips_that_the_keyboard_adds_and_removes(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/new/")
    entry, sent = page.get_by_label("Sources", exact=True), page.locator("#id_sources")
    chips = page.locator("#source-chips li")
    entry.focus()
    page.keyboard.type("198.51.100.7, 2001:db8::/48 203.0.113.0/24")
    expect(chips).to_have_count(2)
    # What is not a chip yet counts as well.
    expect(sent).to_have_value("198.51.100.7, 2001:db8::/48, 203.0.113.0/24")
    page.keyboard.press("Enter")
    expect(chips).to_have_count(3)
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Remove 203.0.113.0/24")).to_be_focused()
    page.keyboard.press("Enter")
    expect(sent).to_have_value("198.51.100.7, 2001:db8::/48")
    entry.focus()
    page.keyboard.press("Backspace")
    expect(entry).to_have_value("2001:db8::/48")
    expect(chips).to_have_count(1)
    entry.evaluate(PASTE, "192.0.2.1\n192.0.2.2;192.0.2.1\n")
    expect(sent).to_have_value("198.51.100.7, 2001:db8::/48, 192.0.2.1, 192.0.2.2")
    expect(entry).to_have_value("")
