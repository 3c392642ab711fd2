"""One Chromium for all browser tests, a run of the stack for each module, and a watch over every page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, StorageState, sync_playwright

from tests.browser.person import Person
from tests.browser.screens import DESKTOP, Screens
from tests.browser.stack import Stack
from tests.browser.watch import Watch
from tests.kernel.namespace import why_unavailable

CHROMIUM = Path("/usr/bin/chromium")


class NewPerson(Protocol):
    """What the fixture `new_person` is."""

    def __call__(self, name: str, cookies: StorageState | None = None) -> Person: ...


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    reason = why_unavailable() or ("" if CHROMIUM.exists() else f"{CHROMIUM} is not there (package chromium)")
    if reason:
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[Stack]:
    """A run of scripts/run for the tests of one module, with empty data at its start."""
    started = Stack()
    yield started
    started.delete()


@pytest.fixture
def new_person(browser: Browser, stack: Stack) -> Iterator[NewPerson]:
    """Put somebody in front of a browser of their own; not signed in unless cookies of before are given."""
    people: list[Person] = []

    def make(name: str, cookies: StorageState | None = None) -> Person:
        context = browser.new_context(base_url=stack.address, viewport=DESKTOP, storage_state=cookies)
        context.set_default_timeout(10_000)
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
    """Where the screenshots go."""
    return Screens(tmp_path_factory.mktemp("screens"))
