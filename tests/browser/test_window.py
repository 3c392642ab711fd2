"""The confirmation window in a real browser: Keep, silence, Roll back now and Extend."""

from __future__ import annotations

import re
import socket

import pytest
from playwright.sync_api import Route, expect

from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack
from tests.rig.namespace import PATIENCE, wait_until

pytestmark = pytest.mark.browser

# A window that no test lets pass, in seconds.
LONG = "300"


def start(person: Person, message: str, window: str) -> None:
    """Apply the draft with a window of so many seconds, and wait until it is loaded."""
    person.goto("review/")
    person.page.get_by_label("Roll back automatically after").select_option(window)
    person.start_apply(message)
    person.expect_awaiting()


def left(person: Person) -> int:
    """Return the seconds that the countdown shows."""
    minutes, seconds = person.page.locator("[data-countdown]").inner_text().split(":")
    return int(minutes) * 60 + int(seconds)


def test_a_poll_that_arrives_after_its_page_was_replaced_is_left_out(alice: Person) -> None:
    alice.add_rule("host", "9581", comment="the page goes away")
    start(alice, "Replace the page during a poll", LONG)
    held: list[Route] = []
    polls = re.compile(r"/applies/[^/]+/status/")
    # The next poll brings the whole status, with the lines outside the page's own part.
    alice.page.evaluate("document.getElementById('apply-seen').value = ''")
    alice.page.route(polls, lambda route: held.append(route))
    while not held:
        alice.page.wait_for_timeout(100)
    alice.page.evaluate("const old = document.getElementById('main'); old.replaceWith(old.cloneNode(false))")
    with alice.page.expect_response(polls):
        held[0].continue_()
    alice.page.wait_for_timeout(500)
    alice.page.unroute_all()
    alice.watch.assert_quiet()
    alice.page.reload()
    alice.expect_applied()


def test_the_countdown_and_keep(stack: Stack, alice: Person, bob: Person, screens: Screens) -> None:
    before = stack.our_rules()
    alice.add_rule("container", "9101", comment="to be kept")
    start(alice, "Look first, then keep", LONG)
    assert stack.our_rules() != before
    pages = alice.page.get_by_role("navigation", name="Pages")
    expect(pages.locator("[aria-current]")).to_have_text("History")
    expect(alice.page.locator("#window-banner")).to_contain_text("is loaded but not confirmed")
    expect(alice.page.locator("#pending-button a")).to_have_count(0)
    first = left(alice)
    assert 0 < first <= int(LONG)
    wait_until("fewer seconds left", lambda: 0 < left(alice) < first)
    part = float(str(alice.page.locator("[data-ring]").get_attribute("stroke-dasharray")).split()[0])
    assert 0 < part < 100
    # The steps are one line.
    expect(alice.page.locator("#steps > summary")).to_contain_text("done in")
    expect(alice.page.locator("ol.steps")).to_be_hidden()
    expect(alice.page).to_have_title(re.compile(r"^\d:\d\d - Apply of revision"))
    screens.take(alice.page, "apply-awaiting")
    alice.page.reload()
    assert left(alice) < first
    # No page calls the loaded revision confirmed, and every admin sees that it waits.
    bob.page.goto("/")
    expect(bob.page.locator(".sentence")).to_contain_text("The previous rules return at")
    expect(bob.page.locator(".sentence")).to_contain_text("unless alice clicks Keep")
    screens.take(bob.page, "dashboard-awaiting")
    bob.page.locator(".sentence").get_by_role("link", name="Show countdown").click()
    expect(bob.page.get_by_role("button", name="Roll back now")).to_be_visible()
    expect(bob.page.get_by_role("button", name="Keep", exact=True)).to_have_count(0)
    alice.press("Keep")
    expect(alice.page.locator('[data-state="confirmed"]')).to_be_visible()
    expect(bob.page.locator('[data-state="confirmed"]')).to_be_visible()
    expect(alice.page.locator("#window-banner")).to_be_empty()
    # A screen reader must not read that time is left.
    expect(alice.page.locator("#spoken")).to_be_empty()
    assert any("--ctorigdstport 9101" in line for line in stack.our_rules())


def test_a_keep_over_a_spare_connection_is_sent_again_by_the_page(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9106", comment="kept at the third try")
    start(alice, "A spare connection", LONG)
    sent: list[str] = []

    def over_a_spare_connection(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if len(sent) <= 2:
            route.fulfill(status=409, headers={"X-Keep-Again": "1"}, body="over an old connection")
        else:
            route.continue_()

    alice.page.route("**/keep/", over_a_spare_connection)
    alice.press("Keep")
    expect(alice.page.locator('[data-state="confirmed"]')).to_be_visible()
    alice.page.unroute("**/keep/")
    # With the nonce that the page has had all along.
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert any("--ctorigdstport 9106" in line for line in stack.our_rules())


def test_no_poll_replaces_the_form_while_keep_is_sent(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9107", comment="kept slowly")
    start(alice, "A slow answer", LONG)

    def answer_slowly(route: Route) -> None:
        # The next poll would bring the whole status again.
        alice.page.evaluate("document.getElementById('apply-seen').value = ''")
        alice.page.wait_for_timeout(1500)
        route.continue_()

    alice.page.route("**/keep/", answer_slowly)
    alice.press("Keep")
    expect(alice.page.locator('[data-state="confirmed"]')).to_be_visible()
    alice.page.unroute("**/keep/")
    expect(alice.page.locator("#window-banner")).to_be_empty()


def test_silence_restores_the_previous_rules(stack: Stack, alice: Person, screens: Screens) -> None:
    before = {4: stack.kernel_rules(4), 6: stack.kernel_rules(6)}
    alice.add_rule("container", "9111", comment="nobody keeps it")
    start(alice, "Say nothing", "30")
    assert any("--ctorigdstport 9111" in line for line in stack.our_rules())
    expect(alice.page.locator('[data-state="rolled_back"]')).to_be_visible()
    expect(alice.page.locator("main")).to_contain_text("The previous rules are active again")
    screens.take(alice.page, "apply-rolled-back")
    assert {4: stack.kernel_rules(4), 6: stack.kernel_rules(6)} == before
    alice.page.goto("/")
    expect(alice.page.locator(".sentence.ok")).to_be_visible()
    assert alice.pending() == 1


def test_a_closed_tab_keeps_nothing(stack: Stack, alice: Person, bob: Person) -> None:
    before = stack.our_rules()
    alice.add_rule("container", "9121", comment="tab closed")
    start(alice, "Close the tab", "30")
    alice.page.goto("about:blank")
    bob.goto("history/")
    expect(bob.page.locator("#window-banner")).to_contain_text("is loaded but not confirmed")
    overtaken = bob.page.locator("#exposure [data-overtaken]")

    def is_overtaken() -> bool:
        bob.goto("exposure/")
        return overtaken.filter(has_text="window of revision").count() == 1

    # The watchdog rolls back. The reading of the open window is not passed off as the state since.
    with stack.frozen("root worker"):
        wait_until("the end of the window on a page", is_overtaken)
        expect(overtaken).to_contain_text("ended. The next look comes at once.")
        expect(bob.page.locator("#exposure .sentence .text")).to_contain_text("Unknown:")
        wait_until("the previous rules", lambda: stack.our_rules() == before)
    # The page replaces itself, without a reload.
    expect(overtaken).to_have_count(0)
    expect(bob.page.locator("#exposure .sentence .text")).not_to_contain_text("Unknown:")
    bob.goto("history/")
    expect(bob.page.locator("main")).to_contain_text("rolled back")


def test_extend_and_roll_back_now_by_another_admin(stack: Stack, alice: Person, bob: Person) -> None:
    before = stack.our_rules()
    alice.add_rule("container", "9131", comment="longer")
    start(alice, "Needs a longer look", "60")
    address = alice.page.url
    assert left(alice) <= 60
    alice.page.get_by_label("More time").select_option(label="5 min longer")
    alice.press("Extend")
    expect(alice.page.locator("[data-countdown]")).to_have_text(re.compile(r"^[56]:"))
    bob.page.goto(address)
    bob.press("Roll back now")
    for person in (bob, alice):
        expect(person.page.locator('[data-state="rolled_back"]')).to_be_visible()
        expect(person.page.locator("main")).to_contain_text("Requested by bob")
    assert stack.our_rules() == before


def test_without_scripts_keep_has_a_page_of_its_own(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9141", comment="no scripts")
    start(alice, "By forms alone", LONG)
    browser, address = alice.page.context.browser, alice.page.url
    assert browser is not None
    # A page with scripts asks for keys of its own, and each replaces the one before.
    alice.page.goto("about:blank")
    with browser.new_context(
        base_url=stack.address, storage_state=alice.page.context.storage_state(), java_script_enabled=False
    ) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Keep", exact=True).click()
        expect(page.get_by_role("heading", name=re.compile("^Keep revision"))).to_be_visible()
        page.get_by_role("button", name="Keep", exact=True).click()
        expect(page.locator('[data-state="confirmed"]')).to_be_visible()


def test_a_connection_from_before_the_load_proves_nothing(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9151", comment="old connection")
    with socket.create_connection(("127.0.0.1", stack.port)) as old:
        start(alice, "Ask over an old connection", LONG)
        cookies = alice.page.context.cookies()
        cookie = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
        path = alice.page.url.removeprefix(stack.address)
        request = (
            f"GET {path}nonce/ HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n"
            f"Cookie: {cookie}\r\nConnection: keep-alive\r\n\r\n"
        ).encode()
        assert b" 409 " in answer_of(old, request)
    # Now the page has its nonce, which the next one replaces.
    expect(alice.page.get_by_role("button", name="Keep", exact=True)).to_be_enabled()
    with socket.create_connection(("127.0.0.1", stack.port)) as new:
        answer = answer_of(new, request)
        assert b" 200 " in answer
        # The server closes each connection after its answer, even when asked to keep it open.
        assert new.recv(1) == b""
    # The page's nonce is not the newest any more: it says so, and gets another.
    with alice.watch.expecting(409):
        alice.press("Keep")
        expect(alice.page.locator("main")).to_contain_text("opened again in another tab")
    alice.press("Keep")
    expect(alice.page.locator('[data-state="confirmed"]')).to_be_visible()


def answer_of(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and return the whole answer, until the server closes."""
    connection.settimeout(PATIENCE)
    connection.sendall(request)
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer
