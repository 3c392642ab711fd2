"""axe-core finds nothing on any page in both themes and two or three widths, and no page scrolls sideways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.person import HOST, PASSWORD, Person
from tests.browser.screens import SCHEMES
from tests.browser.shop import LivingStack

pytestmark = pytest.mark.browser

WIDTHS: Final = (390, 1024, 1440)
# A page that is empty has no tables whose columns get narrow between these.
FEW_WIDTHS: Final = (390, 1440)
LOOK: Final = f"({Path(__file__).with_name('look.js').read_text('utf-8')})"
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js")
PAGES: Final = (
    *("", "rules/", "rules/new/", "groups/", "groups/new/", "expectations/", "expectations/new/", "review/"),
    *("exposure/", "refused/", "live/", "charts/", "trace/", "history/", "settings/", "import/"),
)
GUIDE: Final = ("", "interfaces/", "ssh/", "services/", "containers/", "summary/")
# Pages that exist once there is something.
FULL: Final = (
    *("rules/ssh1/edit/", "rules/new/?service=PostgreSQL", "rules/new/?action=block&source=203.0.113.9"),
    *("group/office/", "group/office/edit/", "history/2/", "history/compare/?a=1&b=2", "history/1/rollback/"),
    *("trace/?source=203.0.113.9&destination=192.0.2.10&protocol=tcp&port=9200", "refused/?group=source"),
    *("exposure/?q=443", "search/?q=shop"),
)
# Where a filter or a search finds nothing.
EMPTY: Final = tuple(
    f"{place}?q=nothing+is+called+so" for place in ("rules/", "exposure/", "refused/", "history/", "search/")
)
OF_THE_SITE: Final = ("/hosts/", "/audit/", "/audit/?q=nothing", "/password/", "/no/such/page/")
DOCS: Final = ("/docs/", "/docs/first-hour/", "/docs/?q=locked+out", "/docs/?q=xyzzy")


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


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Page]:
    """A page of no one."""
    with browser.new_context() as context:
        yield context.new_page()


def findings(page: Page, place: str, widths: Iterable[int] = WIDTHS) -> list[Finding]:
    """Ask axe-core about the open page in these widths and both themes."""
    expect(page.locator(".htmx-request")).to_have_count(0)
    # Not a script of the page: its content security policy stays as it is.
    page.evaluate(AXE.read_text("utf-8"))
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            found.append(Finding(f"{place} at {width} px", "scrolls sideways", f"{needed} px"))
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += [
                Finding(
                    f"{place} at {width} px, {scheme}", each["id"], f"{node['target']} {node['html'][:160]}"
                )
                for each in page.evaluate(LOOK, scheme == "dark")
                for node in each["nodes"]
            ]
    return found


def visit(person: Person, place: str, widths: Iterable[int] = WIDTHS) -> list[Finding]:
    """Open a page and look at it."""
    with person.watch.expecting(404, 410):
        person.page.goto(place if place.startswith("/") else f"{HOST}/{place}")
    return findings(person.page, place or "dashboard", widths)


def look_at(person: Person, places: Iterable[str], widths: Iterable[int] = WIDTHS) -> None:
    """Open each page, and fail with all that was found."""
    assert_none(finding for place in places for finding in visit(person, place, widths))


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


def test_the_look_finds_a_colour_of_one_theme_and_width_among_texts_that_passed(new_page: Page) -> None:
    style = """:root { color-scheme: light dark } body { color: CanvasText; background: Canvas }
        @media (min-width: 1200px) and (prefers-color-scheme: dark) { em { color: #444 } }
        @media (max-width: 400px) { section { background: #777; color: #888 } }"""
    html = f"""<html lang=en><title>Texts</title><style>{style}</style><main><h1>Texts</h1><p>A text
        <p>A text <em>of another colour</em><section>A text<button></button></section></main>"""
    new_page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    new_page.goto("https://dockerfw.example/")
    told = [(found.place, found.rule) for found in findings(new_page, "the page")]
    button = [(f"the page at {width} px, light", "button-name") for width in WIDTHS]
    narrow = [(f"the page at 390 px, {scheme}", "color-contrast") for scheme in SCHEMES]
    wide = ("the page at 1440 px, dark", "color-contrast")
    assert told == [narrow[0], button[0], narrow[1], button[1], button[2], wide]
    # What passed is not asked about again, and what did not is.
    assert [found.rule for found in findings(new_page, "the page", (390,))] == [
        *("color-contrast", "button-name", "color-contrast")
    ]


def test_before_there_is_an_account(living: LivingStack, new_person: NewPerson) -> None:
    person = new_person("nobody", living)
    look_at(person, (living.setup_link, "/sign-in/"))
    person.sign_in("wrong")
    found = findings(person.page, "sign-in with an error")
    found += visit(person, "/setup/not-a-link/")
    assert_none(found)


def test_a_new_host(alice: Person) -> None:
    look_at(alice, (*PAGES, *(f"start/{step}" for step in GUIDE), *OF_THE_SITE), FEW_WIDTHS)


def test_the_documentation(alice: Person) -> None:
    look_at(alice, DOCS)


def test_a_form_without_its_token(alice: Person) -> None:
    page = alice.page
    alice.goto("rules/new/")
    page.evaluate("document.querySelectorAll('[name=csrfmiddlewaretoken]').forEach(each => each.remove())")
    with alice.watch.expecting(403):
        alice.press("Save to the draft")
        expect(page.get_by_role("navigation", name="Pages", exact=True)).to_have_count(0)
    assert_none(findings(page, "a form without its token"))


def test_a_busy_host(shop: None, alice: Person) -> None:
    alice.goto("refused/")
    expect(alice.page.locator("main table").first).to_be_visible()
    look_at(alice, (*PAGES, *FULL, *EMPTY, "/audit/"))


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


def test_what_opens_over_a_page(shop: None, alice: Person) -> None:
    """The palette, the keys, a question, a toast with Undo, the menus and the drawer; it leaves a change."""
    page = alice.page
    alice.goto("rules/")
    page.keyboard.press("Control+k")
    page.keyboard.type("shop")
    expect(page.get_by_role("option").first).to_be_visible()
    found = findings(page, "the palette")
    page.keyboard.press("Control+a")
    page.keyboard.type("xyzzy")
    expect(page.locator("#palette-status")).to_contain_text("Nothing found")
    found += findings(page, "the palette without a result")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    found += findings(page, "the keys")
    page.keyboard.press("Escape")
    found += opened_on_the_rules(alice)
    page.set_viewport_size({"width": 390, "height": 900})
    alice.press("Menu")
    for menu in page.locator("details.menu > summary").all():
        menu.click()
        found += findings(page, "the drawer with a menu", widths=(390,))
    alice.goto("review/")
    alice.press("Discard all")
    expect(page.get_by_role("dialog", name="Discard all pending changes?")).to_be_visible()
    found += findings(page, "a question")
    assert_none(found)


def opened_on_the_rules(alice: Person) -> list[Finding]:
    """Open what the page of the rules and the form of a rule fold away."""
    page = alice.page
    page.get_by_text("Search words", exact=True).click()
    for notes in page.locator("details.notes > summary").all()[:1]:
        notes.click()
    found = findings(page, "the rules with their notes")
    page.locator("#rule-table tbody input[type=checkbox]").first.check()
    page.locator("details.bulk-more > summary").first.click()
    found += findings(page, "selected rules")
    alice.goto("rules/")
    alice.rule_row("the shop").get_by_role("button", name=re.compile("^Delete")).click()
    # It stays while it has the focus.
    page.locator("#messages .note").get_by_role("button", name="Undo").focus()
    found += findings(page, "a toast")
    alice.goto("rules/new/")
    page.get_by_text("Advanced:").click()
    page.get_by_role("combobox", name="Service or container").fill("elastic")
    expect(page.get_by_role("option").first).to_be_visible()
    found += findings(page, "the services of the rule form")
    return found
