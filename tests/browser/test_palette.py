"""The palette, the keys and the documentation, by the keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import HOST, Person
from tests.browser.screens import PHONE, Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    """Return the id of the element with the focus."""
    return str(page.evaluate("document.activeElement.id"))


def ask(page: Page, words: str) -> None:
    """Open the palette, type, and wait until the results answer what was typed."""
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name=re.compile("^Search pages"))).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator("#palette-list [data-query]")).to_have_attribute("data-query", words)


def test_everything_is_found_by_the_keyboard(alice: Person, screens: Screens) -> None:
    page = alice.page
    alice.add_rule("host", "9022", comment="the second door")
    choose_among_results(page, screens)
    close_and_return(page)
    # Enter right behind the text waits for its results.
    page.keyboard.press("Control+k")
    page.keyboard.type("second door")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{HOST}/rules/[a-z0-9]+/edit/$"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("the second door")


def choose_among_results(page: Page, screens: Screens) -> None:
    """Move through the results, whose number and choice a screen reader is told."""
    ask(page, "9022")
    field, status = page.locator("#palette-input"), page.locator("#palette-status")
    expect(status).to_have_text(re.compile(r"^\d+ results?$"))
    chosen = page.locator("#palette [role=option][aria-selected=true]")
    expect(chosen).to_contain_text("the second door")
    first = chosen.get_attribute("id")
    assert field.get_attribute("aria-activedescendant") == first
    page.keyboard.press("ArrowUp")
    last = page.locator("#palette [role=option]").last
    expect(last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_attribute("id", first or "")
    screens.take(page, "palette")
    page.keyboard.press("Control+a")
    page.keyboard.type("xyzzy")
    expect(status).to_have_text("Nothing found for “xyzzy”")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_visible()


def close_and_return(page: Page) -> None:
    """Escape and a second Ctrl-K close the palette and give the focus back."""
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.locator("#palette-open").focus()
    for closing in ("Escape", "Control+k"):
        page.keyboard.press("Enter")
        expect(page.locator("#palette-input")).to_be_focused()
        page.keyboard.press(closing)
        expect(page.locator("#palette")).to_be_hidden()
        assert focused(page) == "palette-open"


def test_keys_lead_to_pages_and_are_switched_off(alice: Person, screens: Screens) -> None:
    page = alice.page
    alice.goto("rules/")
    page.keyboard.press("/")
    search = page.locator("main input[type=search]").first
    expect(search).to_be_focused()
    # While a field is typed in they are letters.
    page.keyboard.type("n?/g")
    expect(search).to_have_value("n?/g")
    page.locator("#main").focus()
    page.keyboard.press("g")
    page.keyboard.press("h")
    # With its scripts: the address changes before they run, and a key pressed then is lost.
    page.wait_for_url(f"**{HOST}/history/")
    page.keyboard.press("n")
    page.wait_for_url(f"**{HOST}/rules/new/")
    alice.goto("live/")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    screens.take(page, "keys")
    page.keyboard.press("n")
    expect(dialog).to_be_visible()
    page.get_by_label("Single-key shortcuts").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("?")
    page.keyboard.press("/")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_label("Single-key shortcuts")).not_to_be_checked()
    page.get_by_label("Single-key shortcuts").check()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("?")
    expect(dialog).to_be_visible()


def test_the_help_of_a_page_and_a_search_in_the_documentation(alice: Person, screens: Screens) -> None:
    page = alice.page
    alice.goto("exposure/")
    page.get_by_role("link", name="Help for this page").press("Enter")
    page.wait_for_url(re.compile("/docs/everyday/#who-can-reach-what$"))
    expect(page.get_by_role("heading", name="Who can reach what")).to_be_in_viewport()
    screens.take(page, "doc")
    page.keyboard.press("/")
    page.keyboard.type("locked out")
    found = page.locator(".doc-found a").first
    expect(found).to_have_text("Locked out")
    expect(page).to_have_url(re.compile(r"/docs/\?q=locked(\+|%20)out$"))
    screens.take(page, "doc-found")
    found.press("Enter")
    expect(page).to_have_url(re.compile("/docs/troubleshooting/#locked-out$"))


def test_the_search_without_a_script(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    plain = new_person(
        "alice", stack, storage_state=admins["alice"], java_script_enabled=False, viewport=PHONE
    )
    page = plain.page
    plain.goto("rules/")
    plain.follow("Search rules, ports, containers, pages")
    page.get_by_label("Search this host and the documentation").fill("expo")
    page.get_by_role("main").get_by_role("button", name="Search").click()
    page.get_by_role("main").get_by_role("link", name="Exposure", exact=True).click()
    expect(page.get_by_role("heading", name="Exposure", exact=True)).to_be_visible()
