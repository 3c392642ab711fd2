"""The frame of every page: theme, density, drawer, local times, toasts, dialogs, and lost answers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Dialog, Page, Route, StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import PHONE
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser

DARK, LIGHT = "rgb(12, 17, 25)", "rgb(246, 247, 249)"


def background(page: Page) -> str:
    """Return the colour behind a page."""
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def choose(page: Page, name: str) -> None:
    """Choose a theme or a density in the sidebar."""
    menu = page.locator("details.appearance")
    if menu.get_attribute("open") is None:
        menu.locator("summary").click()
    menu.get_by_role("button", name=name, exact=True).click()


def test_the_theme_is_kept_and_shown_before_the_page_is_painted(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/")
    assert background(page) == LIGHT
    choose(page, "Dark")
    assert background(page) == DARK
    expect(page.get_by_role("button", name="Dark", exact=True)).to_have_attribute("aria-pressed", "true")
    # The script in the head has run when the body begins.
    page.add_init_script(
        "new MutationObserver((_, seen) => { if (!document.body) return; seen.disconnect();"
        " window.themeAtFirst = document.documentElement.dataset.theme; })"
        ".observe(document, { childList: true, subtree: true })"
    )
    alice.goto("history/")
    assert page.evaluate("window.themeAtFirst") == "dark"
    assert background(page) == DARK
    choose(page, "System")
    assert background(page) == LIGHT
    page.emulate_media(color_scheme="dark")
    assert background(page) == DARK


def test_the_density_makes_rows_lower(alice: Person) -> None:
    alice.add_rule("container", "9301", comment="a row")
    alice.page.goto("/audit/")
    cell = alice.page.locator("tbody td").first

    def padding() -> float:
        return float(cell.evaluate("cell => parseFloat(getComputedStyle(cell).paddingTop)"))

    comfortable = padding()
    choose(alice.page, "Compact")
    assert padding() < comfortable


def test_the_drawer_opens_and_closes_by_the_keyboard(
    stack: Stack, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    for scripts in (True, False):
        phone = new_person(
            "alice", stack, storage_state=admins["alice"], viewport=PHONE, java_script_enabled=scripts
        )
        page = phone.page
        page.goto("/")
        drawer = page.get_by_role("navigation", name="Pages")
        expect(drawer).to_be_hidden()
        page.get_by_role("button", name="Menu").focus()
        page.keyboard.press("Enter")
        expect(drawer).to_be_visible()
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        expect(page.get_by_role("button", name="Menu")).to_be_focused()
        page.keyboard.press("Enter")
        drawer.get_by_role("link", name="History").click()
        expect(page.get_by_role("heading", name="History", exact=True)).to_be_visible()


def test_times_are_in_the_zone_of_the_browser_with_utc_on_hover(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    alice.add_rule("container", "9302", comment="for its time")
    far = new_person("alice", stack, storage_state=admins["alice"], timezone_id="Pacific/Kiritimati")
    far.page.goto("/audit/")
    time = far.page.locator("tbody time").first
    moment = time.get_attribute("datetime") or ""
    title = time.get_attribute("title") or ""
    assert title == f"{moment[:10]} {moment[11:19]} UTC"
    there = time.evaluate("each => new Date(each.dateTime).toLocaleString('sv')")
    assert time.inner_text() == there
    assert there != title.removesuffix(" UTC")


def test_a_removed_rule_comes_back_from_its_toast(alice: Person) -> None:
    page = alice.page
    alice.add_rule("container", "9303", comment="removed by mistake")
    alice.rule_row("removed by mistake").get_by_role("button", name=re.compile("^Delete")).click()
    toast = page.locator("#messages .note").filter(has_text="Removed from the draft")
    expect(toast).to_be_visible()
    expect(page.locator("#messages")).to_have_attribute("role", "status")
    # It stays while it is pointed at, and leaves afterwards.
    page.clock.install()
    toast.hover()
    page.clock.run_for(60_000)
    expect(toast).to_be_visible()
    toast.get_by_role("button", name="Undo").click()
    expect(alice.rule_row("removed by mistake")).to_be_visible()
    close = page.get_by_role("button", name="Close the message").first
    close.click()
    expect(page.locator("#messages .note").filter(has_text="Added to the draft again")).to_have_count(0)


def test_a_toast_leaves_by_itself(alice: Person) -> None:
    alice.page.clock.install()
    alice.add_rule("container", "9304", comment="a short message")
    toast = alice.page.locator("#messages .note").filter(has_text="Added to the draft")
    expect(toast).to_be_visible()
    alice.page.mouse.move(0, 0)
    alice.page.clock.run_for(20_000)
    expect(toast).to_have_count(0)


def test_a_dialog_of_the_page_asks_before_changes_are_discarded(alice: Person) -> None:
    page = alice.page
    alice.add_rule("container", "9305", comment="to be discarded")
    alice.goto("review/")
    button = page.get_by_role("button", name="Discard all", exact=True)
    button.click()
    dialog = page.get_by_role("dialog", name="Discard all pending changes?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert alice.pending() > 0
    button.click()
    dialog.get_by_role("button", name="Discard all", exact=True).click()
    expect(page.locator("#pending-count .count")).to_have_count(0)


def test_leaving_an_unsaved_form_asks_and_keeps_what_was_typed(alice: Person) -> None:
    page = alice.page
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    alice.goto("settings/")
    field = page.get_by_label("Other external interfaces")
    field.fill("ppp+")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_visible()
    assert asked == ["beforeunload"]
    page.go_back()
    expect(field).to_have_value("ppp+")
    page.get_by_role("button", name="Save to the draft").click()
    expect(page.locator("#messages")).not_to_be_empty()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_visible()
    assert asked == ["beforeunload"]


def test_no_page_goes_on_saying_protected_without_an_answer(alice: Person) -> None:
    page = alice.page
    alice.add_rule("container", "9306", comment="to be protected")
    alice.apply("Be protected")
    alice.goto("rules/")
    pill = page.locator("#state-pill")
    expect(pill).to_have_text("Protected")

    def no_answer(route: Route) -> None:
        route.abort()

    page.route("**/state/", no_answer)
    with alice.watch.losing_answers():
        expect(pill).to_have_text("Unknown", timeout=30_000)
        expect(page.locator("#connection")).to_contain_text("dockerfw has been unreachable since")
        page.unroute("**/state/")
        expect(pill).to_have_text("Protected", timeout=30_000)
        expect(page.locator("#connection")).to_be_empty()


def test_a_page_whose_session_has_ended_does_not_say_protected(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/")
    pill = page.locator("#state-pill")
    expect(pill).to_have_text("Protected")
    page.context.clear_cookies()
    expect(pill).to_have_text("Unknown", timeout=30_000)
    expect(page.locator("#connection")).to_contain_text("You are signed out")
