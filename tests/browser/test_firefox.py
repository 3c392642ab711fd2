"""The main story in Debian's Firefox: from the one-time link over the first apply to a refused packet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import HOST, Person
from tests.browser.screens import DESKTOP, SIZES, Screens
from tests.browser.stack import Stack
from tests.browser.test_exposure import gets_in
from tests.rig.namespace import wait_until, why_unavailable

FIREFOX = Path("/usr/bin/firefox-esr")
DARK = "rgb(12, 17, 25)"
# A mouse, which a browser without a window does not find by itself: fine, and able to hover.
MOUSE: dict[str, str | float | bool] = {"ui.primaryPointerCapabilities": 6, "ui.allPointerCapabilities": 6}


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Debian's Firefox, without a window, in place of Chromium."""
    reason = why_unavailable() or ("" if FIREFOX.exists() else f"{FIREFOX} is missing (package firefox-esr)")
    if reason:
        pytest.skip(reason)
    playwright: Playwright = request.getfixturevalue("playwright")
    launched = playwright.firefox.launch(
        executable_path=FIREFOX, channel="moz-firefox", firefox_user_prefs=MOUSE
    )
    yield launched
    launched.close()


def test_the_main_story(new_stack: Stack, new_person: NewPerson, screens: Screens) -> None:
    alice = new_person("alice", new_stack)
    alice.create_first_admin(new_stack.setup_link)
    follow_the_guide(alice, screens)
    add_a_rule_by_its_service(alice, screens)
    review_apply_and_keep(new_stack, alice, screens)
    watch_it_live(new_stack, alice, screens)
    see_a_refused_packet(new_stack, alice, screens)
    search_by_the_keyboard(alice, screens)
    look_around_in_the_dark(alice, screens)
    use_the_drawer(alice, screens)


def take(alice: Person, screens: Screens, name: str) -> None:
    """Photograph the page on a phone and on a desktop, where it has to fit."""
    for size_name, size in SIZES.items():
        alice.page.set_viewport_size(size)
        screens.take_one(alice.page, f"firefox-{name}-{size_name}")
    alice.page.set_viewport_size(DESKTOP)


def follow_the_guide(alice: Person, screens: Screens) -> None:
    """Answer the questions of the first run."""
    page = alice.page
    alice.goto("")
    take(alice, screens, "dashboard-empty")
    alice.follow("Show the steps")
    alice.follow("Start")
    expect(page.get_by_role("checkbox", name=re.compile("^ens33"))).to_be_checked()
    alice.press("Save and continue")
    page.get_by_label("A network").check()
    page.get_by_label("Network", exact=True).fill("192.0.2.0/24")
    take(alice, screens, "start-ssh")
    alice.press("Add to the draft and continue")
    expect(page.get_by_role("heading", name="Which services should be reachable?")).to_be_visible()
    take(alice, screens, "start-services")


def add_a_rule_by_its_service(alice: Person, screens: Screens) -> None:
    """Choose a container by the keyboard; what was typed survives a reload, and the form works after Back."""
    page = alice.page
    alice.goto("rules/new/")
    page.get_by_role("combobox", name="Service or container").fill("elastic 9200")
    expect(page.get_by_role("option").first).to_contain_text("logs/elastic")
    take(alice, screens, "rule-form-services")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Ports", exact=True)).to_have_value("9200")
    page.get_by_label("Sources", exact=True).fill("198.51.100.7")
    page.get_by_label("Name", exact=True).fill("search for the consultant")
    expect(page.locator(".explained")).to_contain_text("198.51.100.7 can reach 9200/tcp of container")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("search for the consultant")
    expect(page.get_by_label("Container", exact=True)).to_have_value("logs/elastic")
    take(alice, screens, "rule-form")
    alice.save_rule()
    page.go_back()
    expect(page.get_by_role("button", name="Save to the draft", exact=True)).to_be_enabled()
    alice.goto("rules/")
    expect(alice.rule_row("search for the consultant")).to_contain_text("New")
    take(alice, screens, "rules")


def review_apply_and_keep(stack: Stack, alice: Person, screens: Screens) -> None:
    """See the effects, apply, see the ring count down over a reload, and keep the rules."""
    page = alice.page
    alice.goto("review/")
    expect(page.locator("main")).to_contain_text("Effect on outside access")
    take(alice, screens, "review")
    alice.start_apply("The first rules")
    alice.expect_awaiting()
    ring = page.locator("[data-ring]")
    begun = ring.get_attribute("stroke-dasharray")
    wait_until("the ring counts down", lambda: ring.get_attribute("stroke-dasharray") != begun)
    take(alice, screens, "apply-awaiting")
    page.reload()
    alice.expect_applied()
    take(alice, screens, "apply")
    assert any("--ctorigdstport 9200" in line for line in stack.our_rules())
    alice.goto("")
    expect(page.locator(".sentence")).to_contain_text("Protected: revision 1 is active for IPv4 and IPv6")
    expect(page.locator("#state-pill")).to_have_text("Protected")
    expect(page.locator("#state-pill")).to_have_class(re.compile(r"\bok\b"))


def watch_it_live(stack: Stack, alice: Person, screens: Screens) -> None:
    """See a rule of another program appear on the open page."""
    alice.goto("live/")
    expect(alice.page.locator("main")).to_contain_text("FILTERS-CONTAINERS")
    stack.in_sandbox("iptables-nft", "-N", "f2b-sshd")
    expect(alice.page.locator("main")).to_contain_text("f2b-sshd")
    take(alice, screens, "live")


def see_a_refused_packet(stack: Stack, alice: Person, screens: Screens) -> None:
    """A packet that the kernel refuses appears on the open page, with the reason."""
    alice.goto("refused/")
    gets_in(stack, 9124)
    row = alice.page.get_by_role("row").filter(has_text="9124/tcp")
    expect(row).to_contain_text("no rule allows 9124/tcp")
    take(alice, screens, "refused")


def search_by_the_keyboard(alice: Person, screens: Screens) -> None:
    """Find the rule with Ctrl-K, read the keys, and be asked before pending changes are discarded."""
    page = alice.page
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-input")).to_be_focused()
    page.keyboard.type("consultant")
    expect(page.locator("#palette [aria-selected=true]")).to_contain_text("search for the consultant")
    take(alice, screens, "palette")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"{HOST}/rules/[a-z0-9]+/edit/$"))
    alice.goto("rules/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    take(alice, screens, "keys")
    page.keyboard.press("Escape")
    alice.rule_row("search for the consultant").get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.locator("#messages .note")).to_contain_text("Removed from the draft")
    take(alice, screens, "toast")
    alice.goto("review/")
    alice.press("Discard all")
    expect(page.get_by_role("dialog", name="Discard all pending changes?")).to_be_visible()
    take(alice, screens, "dialog")
    page.get_by_role("dialog").get_by_role("button", name="Discard all", exact=True).click()
    expect(page.locator("#pending-count .count")).to_have_count(0)


def look_around_in_the_dark(alice: Person, screens: Screens) -> None:
    """Choose the dark theme, which the next pages have too."""
    page = alice.page
    page.locator("details.appearance summary").click()
    alice.press("Dark")
    expect(page.locator("body")).to_have_css("background-color", DARK)
    for place in ("", "charts/", "exposure/", "trace/?source=203.0.113.9&protocol=tcp&port=9200", "history/"):
        alice.goto(place)
        expect(page.locator("body")).to_have_css("background-color", DARK)
        take(alice, screens, re.sub(r"/.*", "", place) or "dashboard")


def use_the_drawer(alice: Person, screens: Screens) -> None:
    """On a phone the sidebar is a drawer."""
    page = alice.page
    page.set_viewport_size(SIZES["phone"])
    alice.press("Menu")
    drawer = page.get_by_role("navigation", name="Pages", exact=True)
    expect(drawer).to_be_visible()
    screens.take_one(page, "firefox-drawer-phone")
    drawer.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_visible()
