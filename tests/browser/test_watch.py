"""The watch over pages forgives a late poll of an apply, which the page repeats, and no other lost answer."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.watch import Watch
from tests.rig.namespace import wait_until

HTMX = files("django_htmx").joinpath("static/django_htmx/htmx-2.min.js")


@pytest.fixture
def watched(browser: Browser) -> Iterator[tuple[Watch, Page]]:
    """A page of a server that answers no request of htmx."""
    with browser.new_context() as context:
        watch = Watch(context)
        context.route("**/*", lambda route: None)
        yield watch, context.new_page()


def ask(page: Page, element: str) -> None:
    """Open a page with this element, and wait until htmx has given its request up."""
    page.route("**/page/", lambda route: route.fulfill(body=f"<body>{element}", content_type="text/html"))
    page.goto("https://dockerfw.example/page/")
    page.evaluate("document.addEventListener('htmx:timeout', () => document.title = 'given up')")
    page.evaluate(HTMX.read_text("utf-8"))
    wait_until("a request given up", lambda: page.title() == "given up")


def asking(name: str, verb: str) -> str:
    """Write an element that asks once, and waits for a tenth of a second."""
    limit = '{"timeout": 100}'
    return f"<div id='{name}' hx-{verb}='/no-answer/' hx-trigger='load' hx-request='{limit}'></div>"


def test_a_late_poll_of_an_apply_is_forgiven(watched: tuple[Watch, Page]) -> None:
    watch, page = watched
    ask(page, asking("apply-status", "get"))
    watch.assert_quiet()


@pytest.mark.parametrize(("name", "verb"), [("keep", "post"), ("apply-status", "post"), ("live", "get")])
def test_another_late_answer_is_a_trouble(watched: tuple[Watch, Page], name: str, verb: str) -> None:
    watch, page = watched
    ask(page, asking(name, verb))
    told = [trouble.split(",")[0] for trouble in watch.troubles]
    assert told == ["console error: htmx:afterRequest", "console error: htmx:timeout"]
