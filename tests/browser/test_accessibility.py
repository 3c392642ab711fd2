"""axe-core finds nothing on any page in both themes and three widths, and no page scrolls sideways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import HOST, PASSWORD, Person
from tests.browser.shop import LivingStack

pytestmark = pytest.mark.browser

WIDTHS: Final = (390, 1024, 1440)
# In the dark theme only colours differ.
ASK_AXE: Final[dict[Literal["light", "dark"], str]] = {
    "light": "axe.run({resultTypes: ['violations']}).then(told => told.violations)",
    "dark": "axe.run({runOnly: ['color-contrast']}).then(told => told.violations)",
}
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js")
PAGES: Final = (
    *("", "rules/", "rules/new/", "groups/", "groups/new/", "expectations/", "expectations/new/", "review/"),
    *("exposure/", "refused/", "live/", "trace/", "history/", "settings/", "import/"),
)
# Pages that exist once there is something.
FULL: Final = (
    *("rules/ssh1/edit/", "rules/new/?service=PostgreSQL", "rules/new/?action=block&source=203.0.113.9"),
    *("group/office/", "group/office/edit/", "history/2/", "history/compare/?a=1&b=2", "history/1/rollback/"),
    *("trace/?source=203.0.113.9&destination=192.0.2.10&protocol=tcp&port=9200", "refused/?group=source"),
    *("rules/?q=nothing+is+called+so", "exposure/?q=443"),
)
OF_THE_SITE: Final = ("/hosts/", "/audit/", "/password/", "/no/such/page/")


@dataclass(frozen=True, slots=True)
class Finding:
    """What axe-core says about one element, or a page that is too wide."""

    place: str
    rule: str
    element: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.element}"


@pytest.fixture(scope="module")
def living(browser: Browser) -> Iterator[LivingStack]:
    """A run of its own, with visitors."""
    started = LivingStack()
    yield started
    started.delete()


@pytest.fixture(scope="module")
def cookies(browser: Browser, living: LivingStack) -> StorageState:
    """The cookies of alice."""
    living.make_admin()
    with browser.new_context(base_url=living.address) as context:
        page = context.new_page()
        page.goto("/sign-in/")
        page.locator("#id_username").fill("alice")
        page.locator("#id_password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("h1")).not_to_have_text("Sign in")
        return context.storage_state()


def findings(page: Page, place: str) -> list[Finding]:
    """Ask axe-core about the open page in every width and theme."""
    expect(page.locator(".htmx-request")).to_have_count(0)
    # Not a script of the page: its content security policy stays as it is.
    page.evaluate(AXE.read_text("utf-8"))
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            found.append(Finding(f"{place} at {width} px", "scrolls sideways", f"{needed} px"))
        for scheme, ask in ASK_AXE.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += [
                Finding(
                    f"{place} at {width} px, {scheme}", each["id"], f"{node['target']} {node['html'][:160]}"
                )
                for each in page.evaluate(ask)
                for node in each["nodes"]
            ]
    return found


def visit(person: Person, place: str) -> list[Finding]:
    """Open a page and look at it."""
    with person.watch.expecting(404):
        person.page.goto(place if place.startswith("/") else f"{HOST}/{place}")
    return findings(person.page, place or "dashboard")


def look_at(person: Person, places: Iterable[str]) -> None:
    """Open each page, and fail with all that was found."""
    assert_none(finding for place in places for finding in visit(person, place))


def assert_none(found: Iterable[Finding]) -> None:
    """Fail with all findings."""
    told = [str(each) for each in found]
    assert not told, "\n".join(told)


@pytest.fixture
def alice(new_person: NewPerson, living: LivingStack, cookies: StorageState) -> Person:
    """The admin of the shop."""
    return new_person("alice", living, storage_state=cookies)


@pytest.fixture(scope="module")
def shop(living: LivingStack, cookies: StorageState) -> None:
    """Rules in the kernel, a history and a pending change; the tests of an empty host come before."""
    living.load_shop()


def test_before_there_is_an_account(living: LivingStack, new_person: NewPerson) -> None:
    person = new_person("nobody", living)
    look_at(person, (living.setup_link, "/sign-in/"))
    person.sign_in("wrong")
    assert_none(findings(person.page, "sign-in with an error"))


def test_a_new_host(alice: Person) -> None:
    look_at(alice, (*PAGES, *OF_THE_SITE))


def test_a_busy_host(shop: None, alice: Person) -> None:
    alice.goto("refused/")
    expect(alice.page.locator("main table").first).to_be_visible()
    look_at(alice, (*PAGES, *FULL, "/audit/"))


@pytest.mark.parametrize(
    ("place", "button"),
    [
        ("rules/new/", "Save to the draft"),
        ("groups/new/", "Save to the draft"),
        ("expectations/new/", "Save to the draft"),
        ("review/", "Apply"),
        ("trace/", "Trace"),
    ],
)
def test_a_form_with_errors(shop: None, alice: Person, place: str, button: str) -> None:
    alice.goto(place)
    with alice.watch.expecting(422):
        alice.page.get_by_role("button", name=button).first.click()
        expect(alice.page.locator("[aria-invalid=true]").first).to_be_visible()
    assert_none(findings(alice.page, f"{place} with errors"))


def test_an_open_window(shop: None, alice: Person) -> None:
    alice.goto("review/")
    alice.start_apply("A look at the page of an apply", re.compile("^Apply"))
    alice.expect_awaiting()
    found = findings(alice.page, "an apply that waits")
    found += visit(alice, "")
    assert_none(found)
