"""A real lock-out: the applied rules refuse the browser that applied them, and the host rolls back.

The page is open in a Chromium at the other end of the sandbox's ens33, so nothing but the kernel's rules
decides whether it reaches the dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import CHROMIUM
from tests.browser.doorway import PORT, URL, browser_in_the_world, served_inside
from tests.browser.person import Person
from tests.browser.screens import DESKTOP, Screens
from tests.browser.stack import Stack
from tests.browser.watch import Watch

pytestmark = pytest.mark.browser


@pytest.fixture
def outsider(browser: Browser, stack: Stack, alice: Person) -> Iterator[Person]:
    """Alice in a browser that reaches the dashboard through the host's rules."""
    with served_inside(stack):
        program = browser_in_the_world(stack, CHROMIUM)
        far = browser.browser_type.launch(executable_path=program, args=["--no-sandbox"])
        context = far.new_context(base_url=URL, viewport=DESKTOP)
        try:
            yield Person(context.new_page(), Watch(context), "alice")
        finally:
            far.close()


@pytest.mark.parametrize("refuse", ["reject", "drop"])
def test_a_lock_out_is_rolled_back(
    stack: Stack, alice: Person, outsider: Person, screens: Screens, refuse: str
) -> None:
    comment = f"the dashboard itself ({refuse})"
    alice.goto("settings/")
    alice.page.locator(f'input[name="refuse"][value="{refuse}"]').check()
    alice.press("Save to the draft")
    alice.add_rule("host", str(PORT), comment=comment)
    alice.apply(f"Let the dashboard be reached ({refuse})")
    before = {4: stack.kernel_rules(4), 6: stack.kernel_rules(6)}

    outsider.sign_in()
    outsider.goto("rules/")
    outsider.rule_row(comment).get_by_role("button", name=re.compile("^Delete")).click()
    expect(outsider.rule_row(comment)).to_contain_text("Removed")
    outsider.goto("review/")
    outsider.page.get_by_label("Roll back automatically after").select_option("30")
    page = outsider.page
    expect(page.locator("#lock-out")).to_contain_text("This would lock you out. Your address is 192.0.2.")
    with outsider.watch.expecting(422):
        outsider.start_apply("Saw off the branch I sit on", "Apply anyway")
        expect(page.locator("#id_anyway_error")).to_be_visible()
        assert 'Type "anyway" to continue.' in outsider.field_error('Type "anyway" to continue')
    screens.take(page, f"review-shut-out-{refuse}")
    page.get_by_label('Type "anyway" to continue').fill("anyway")
    page.get_by_label("Roll back automatically after").select_option("30")
    outsider.start_apply("Saw off the branch I sit on", "Apply anyway")

    note = page.locator("#unreachable")
    expect(note).to_be_visible()
    assert not any(f"--dport {PORT} " in line for line in stack.kernel_rules())
    expect(note).to_contain_text("dockerfw has been unreachable since")
    expect(note).to_contain_text("the host rolls back automatically")
    expect(note).to_contain_text(re.compile(r"previous rules return in 0:\d\d"))
    first = seconds_said(page)
    page.wait_for_timeout(2_000)
    assert seconds_said(page) < first
    assert page.get_by_role("button", name="Keep", exact=True).and_(page.locator(":enabled")).count() == 0
    screens.take(page, f"apply-locked-out-{refuse}")

    expect(page.locator('[data-state="rolled_back"]')).to_be_visible()
    expect(page.locator("main")).to_contain_text("The previous rules are active again")
    expect(note).to_be_hidden()
    assert {4: stack.kernel_rules(4), 6: stack.kernel_rules(6)} == before
    page.goto(f"{URL}/")
    expect(page.locator(".sentence.ok")).to_be_visible()


def seconds_said(page: Page) -> int:
    """Return the seconds that the note counts down."""
    found = re.search(r"in (\d+):(\d\d)", page.locator("#unreachable-left").inner_text())
    assert found
    return int(found[1]) * 60 + int(found[2])
