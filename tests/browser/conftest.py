"""One Chromium for all browser tests, a stack for the story and one for the rest, and a watch over every page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.screens import Screens
from tests.browser.stack import Stack
from tests.browser.watch import Watch
from tests.kernel.namespace import why_unavailable

CHROMIUM = Path("/usr/bin/chromium")


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
def new_page(browser: Browser, stack: Stack) -> Iterator[Callable[[], Page]]:
    """Open a page with cookies of its own, under watch: `alice = new_page()`."""
    watches: list[Watch] = []
    contexts = []

    def make() -> Page:
        context = browser.new_context(base_url=stack.address, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(10_000)
        contexts.append(context)
        watches.append(Watch(context))
        return context.new_page()

    yield make
    for context in contexts:
        context.close()
    for watch in watches:
        watch.assert_quiet()


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """Where the screenshots go."""
    return Screens(tmp_path_factory.mktemp("screens"))
