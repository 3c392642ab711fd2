"""Real runs of the stack, admins with a browser each, and a watch over every page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, StorageState, expect

from tests.browser.person import PASSWORD, Person
from tests.browser.screens import DESKTOP, Screens
from tests.browser.stack import Stack
from tests.browser.watch import Watch

MAKE_ADMINS = """
from django.contrib.auth import get_user_model
for name in ("alice", "bob"):
    get_user_model().objects.create_superuser(name, password=PASSWORD)
"""


class NewPerson(Protocol):
    """The type of the fixture `new_person`."""

    def __call__(self, name: str, stack: Stack, **options: Any) -> Person: ...


@pytest.fixture
def new_stack(browser: Browser) -> Iterator[Stack]:
    """A run of scripts/run with empty data, for one test."""
    started = Stack()
    yield started
    started.delete()


@pytest.fixture(scope="session")
def stack(browser: Browser) -> Iterator[Stack]:
    """A run of scripts/run that tests share."""
    started = Stack()
    yield started
    started.delete()


@pytest.fixture
def new_person(browser: Browser) -> Iterator[NewPerson]:
    """Give an admin a browser of their own; `options` are those of a Playwright context."""
    people: list[Person] = []

    def make(name: str, stack: Stack, **options: Any) -> Person:
        context = browser.new_context(base_url=stack.address, **{"viewport": DESKTOP, **options})
        watch = Watch(context)
        people.append(Person(context.new_page(), watch, name))
        return people[-1]

    yield make
    for person in people:
        person.page.context.close()
    for person in people:
        person.watch.assert_quiet()


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """The folder of the screenshots."""
    return Screens(tmp_path_factory.mktemp("screens"))


@pytest.fixture(scope="session")
def admins(browser: Browser, stack: Stack) -> dict[str, StorageState]:
    """The cookies of two admins of the shared stack, who have chosen ens33 as the external interface."""
    stack.manage("shell", "--command", f"PASSWORD = {PASSWORD!r}\n{MAKE_ADMINS}")
    cookies = {}
    for name in ("alice", "bob"):
        with browser.new_context(base_url=stack.address) as context:
            person = Person(context.new_page(), Watch(context), name)
            person.sign_in()
            expect(person.page.locator("details.account")).to_contain_text(name)
            person.goto("settings/")
            person.page.locator("label.choice").filter(has_text="ens33").locator("input").check()
            person.press("Save to the draft")
            cookies[name] = context.storage_state()
    return cookies


@pytest.fixture
def alice(new_person: NewPerson, stack: Stack, admins: dict[str, StorageState]) -> Person:
    """An admin, signed in, with nothing pending."""
    person = new_person("alice", stack, storage_state=admins["alice"])
    person.page.goto("/")
    if person.pending():
        person.apply("Begin the test with nothing pending")
    return person


@pytest.fixture
def bob(new_person: NewPerson, stack: Stack, admins: dict[str, StorageState]) -> Person:
    """Another admin, signed in."""
    return new_person("bob", stack, storage_state=admins["bob"])
