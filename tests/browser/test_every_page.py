"""Every page that shows or searches something, at three widths in both themes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import SCHEMES, Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser
LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"
PAGES = {
    "refused": "refused/?source=2001:db8::/32&port=22",
    "exposure": "exposure/",
    "live": "live/",
    "trace": f"trace/?source={LONG}&protocol=tcp&port=22",
    "groups": f"groups/?address={LONG}",
    "group-new": "groups/new/",
    "history": "history/",
    "revision": "history/1/",
    "compare": "history/compare/?b=1",
    "settings": "settings/",
    "expectations": "expectations/",
    "expectation-new": "expectations/new/",
    "import": "import/",
}
PAGES_OF_ALL = {"audit": "/audit/", "password": "/password/"}


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_every_page_fits(alice: Person, screens: Screens, width: int) -> None:
    page = alice.page
    if width == 390:
        alice.add_rule("host", "22", source=LONG, comment="the bastion, by its long address")
        alice.apply("Let the bastion in, by its long address")
    page.set_viewport_size({"width": width, "height": 900})
    for title, place in {**PAGES, **PAGES_OF_ALL}.items():
        if place.startswith("/"):
            page.goto(place)
        else:
            alice.goto(place)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            screens.take_one(page, f"every-{title}-{width}-{scheme}")
    page.emulate_media(color_scheme="light")


def test_filters_work_as_you_type_and_stay_in_the_address(alice: Person) -> None:
    page = alice.page
    page.goto("/audit/")
    page.get_by_role("searchbox", name="Search").fill("nothing like it")
    expect(page.locator("#audit-events")).to_contain_text("No matching events")
    expect(page).to_have_url(re.compile("q=nothing"))
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    page.go_back()
    expect(page.locator("#audit-events tbody tr").first).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("")
    alice.goto("live/")
    page.get_by_role("searchbox", name="Search").fill("FILTERS-HOST")
    expect(page.locator("#live")).to_contain_text('match "FILTERS-HOST"')
    expect(page.get_by_role("link", name="IPv6")).to_have_attribute("href", re.compile("q=FILTERS-HOST"))
    alice.goto("history/")
    page.get_by_role("searchbox", name="Search").fill("no such reason")
    expect(page.locator("#revisions")).to_contain_text('No revision matches "no such reason".')


def test_filters_work_without_a_script(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    plain = new_person("alice", stack, storage_state=admins["alice"], java_script_enabled=False)
    page = plain.page
    for place, button in (
        ("/audit/", "Filter"),
        ("/hosts/local/live/", "Filter"),
        ("/hosts/local/history/", "Search"),
    ):
        page.goto(place)
        page.get_by_role("searchbox", name="Search").fill("nothing like it")
        page.locator("form[role=search]").get_by_role("button", name=button).click()
        expect(page.get_by_role("searchbox", name="Search")).to_have_value("nothing like it")
        expect(page.locator("main")).to_contain_text("No ")
