"""The Chromium of a test run; Playwright starts only once in a process, for Firefox too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.rig.namespace import why_unavailable

# The shell draws pages without a window of their own around them. Not every distribution has it.
PROGRAMS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
CHROMIUM = next((each for each in PROGRAMS if each.exists()), PROGRAMS[0])
FOR_FIREFOX = Path(__file__).with_name("firefox.js")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, whose own program loads what Debian's Firefox needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_OPTIONS", f'--require="{FOR_FIREFOX}"')
        manager = sync_playwright()
        started = manager.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    missing = f"{CHROMIUM} is not there (package {CHROMIUM.name})"
    reason = why_unavailable() or ("" if CHROMIUM.exists() else missing)
    if reason:
        pytest.skip(reason)
    playwright: Playwright = request.getfixturevalue("playwright")
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield launched
    launched.close()
